-- Do the ideal parts sum to what each community declares? A difference, or units without, wants correcting.
select community, declared, stored, difference, units, units_without
from public.ideal_parts_report
order by abs(difference) desc;
