-- Make the first superadministrator, after this user has signed up and confirmed the address.
select public.grant_role((select u.id from auth.users u where u.email = 'you@example.com'), 'superadmin');
