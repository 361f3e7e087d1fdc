-- What holds for every table, view, function and policy: the rules of 001_catalog_rules.sql, one test each.
-- A failing test names the rule, and below it every object that breaks it and how.

begin;
select plan((select count(*)::integer from tests.catalog_rules()));

select is_empty(format('select * from tests.%I()', r.rule), r.sentence) from tests.catalog_rules() r;

select * from finish();
rollback;
