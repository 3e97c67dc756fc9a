-- Through which instant a partition has been read: the time of the last record, or that at which
-- its end was seen. It never goes back.
alter table positions add column read_through timestamptz;
