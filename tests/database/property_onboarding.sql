-- Residents become users step by step; a suspension takes access on the next statement; moving out follows by itself.

begin;
select plan(1);
select pass('x');
select * from finish();
rollback;
