-- Who owns what, with shares and since when.
select full_name, unit, ownership_share, starts_on, ends_on, email, phone
from public.residents_overview
where community = 'Lipa Court' and role = 'owner'
order by full_name, unit;
