-- Who lives where: the units of a community with their owners and occupants of today.
select building, entrance, number, type, status, owners, living_in
from public.units_overview
where community = 'Lipa Court'
order by building, entrance, number;
