-- A period's grant comes from what its rule comes from: a plan, or what was said with credits that
-- a person gives monthly.
update grants set source = 'plan' where source = 'standing' and grant_id like 'allotment/%';
update grants as g
set source = coalesce(
    (
        select f.payload ->> 'source' from facts as f
        where f.account_id = g.account_id and f.type = 'credits-granted'
            and f.payload ->> 'grant_id'
                = replace(replace(split_part(g.grant_id, '/', 2), '%2F', '/'), '%25', '%')
        limit 1
    ),
    'manual'
)
where g.source = 'standing';
