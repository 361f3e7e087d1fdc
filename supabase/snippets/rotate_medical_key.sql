-- Encrypt what is medical under a new key, and destroy the old one. A backup from before needs the keys from before.
select app.rotate_medical_key() as records;
