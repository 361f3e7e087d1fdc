-- Which leases run out soon, and which units are vacant.
select community, unit, tenants, reference, ends_on, days_left from public.expiring_leases order by ends_on, community, unit;
select community, building, number, type, owners, last_lived_in_on, next_lived_in_on from public.vacant_units order by community, building, number;
