-- What the database spends its time on. Apps ask rpc('statement_statistics'), which takes operations.read.
select query, calls, total_ms, mean_ms, max_ms, rows_returned, cache_hit_ratio, role_name
from public.statement_statistics(25);
