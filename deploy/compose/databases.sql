-- The demonstration's own; the service's is made by the image, named as its user.
create database demo;
