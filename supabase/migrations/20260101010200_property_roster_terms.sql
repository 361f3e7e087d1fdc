-- Property: the words of rosters.
--
-- Purpose     What the lists that communities keep call their columns and their values, in five languages, as rows.
-- Tables      roster_fields, roster_header_synonyms, roster_value_synonyms
-- RPCs        roster_headers
-- Invariants  A header means one field, and a value's name one value, whatever the language: two synonyms that contradict each
--             other cannot be stored. Synonyms are compared without case, accents, spaces and punctuation, in any script.
--             A synonym stands only for a value that its field can hold.

select app.define_permission('roster.import', 'community', 'Bring in rosters of units and residents', '{
  site/superadmin, organization/owner, organization/admin, community/admin, community/manager}');

-- Comparing ----------------------------------------------------------------------------------------------------------

create function app.roster_clean(value text)
returns text
language plpgsql
immutable
strict
parallel safe
set search_path = ''
as $$
begin
  if value ~ '^[!-~]+( [!-~]+)*$' then
    return value;
  end if;
  -- Joiners (U+200C, U+200D) belong to the spelling of Hindi and Persian names and stay; other invisible characters go.
  return nullif(btrim(regexp_replace(regexp_replace(normalize(value, nfc),
    '[\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]+', '', 'g'),
    '[ \t\n\r\f\v\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+', ' ', 'g')), '');
end;
$$;

comment on function app.roster_clean(text) is
  'A cell as it is stored: composed (NFC), without invisible characters and outer blanks, every run of white space one space; null if nothing remains.';

create function app.roster_digits(value text)
returns text
language plpgsql
immutable
strict
parallel safe
set search_path = ''
as $$
begin
  return translate(value,
    '०१२३४५६७८९๐๑๒๓๔๕๖๗๘๙٠١٢٣٤٥٦٧٨٩۰۱۲۳۴۵۶۷۸۹০১২৩৪৫৬৭৮৯೦೧೨೩೪೫೬೭೮೯' || U&'\FF10\FF11\FF12\FF13\FF14\FF15\FF16\FF17\FF18\FF19',
    '0123456789012345678901234567890123456789012345678901234567890123456789');
end;
$$;

comment on function app.roster_digits(text) is 'The text with Devanagari, Thai, Arabic, Persian, Bengali, Kannada and full-width digits written 0 to 9.';

create function app.roster_key(value text)
returns text
language plpgsql
immutable
strict
parallel safe
set search_path = ''
as $$
begin
  if value ~ '^[ -~]*$' then
    return lower(replace(value, ' ', '') collate pg_catalog."C");
  end if;
  return regexp_replace(lower(app.roster_digits(normalize(value, nfkc)) collate pg_catalog.pg_c_utf8), '[[:space:]\u200b-\u200f]+', '', 'g');
end;
$$;

comment on function app.roster_key(text) is
  'By what numbers of units, names of buildings and references are compared: without case, spaces and script of the digits. 12 A is 12a; 1-2 is not 12.';

create function app.roster_words(value text)
returns text
language plpgsql
immutable
strict
parallel safe
set search_path = ''
as $$
begin
  if value ~ '^[ -~]*$' then
    return regexp_replace(lower(value collate pg_catalog."C"), '[^0-9a-z]+', '', 'g');
  end if;
  return regexp_replace(lower(normalize(
    regexp_replace(normalize(value, nfkd), '[\u0300-\u036f]+', '', 'g'), nfc) collate pg_catalog.pg_c_utf8),
    '[[:punct:][:space:]\u00ad\u200b-\u200f\u2060\ufeff]+', '', 'g');
end;
$$;

comment on function app.roster_words(text) is
  'By what headers, terms and people''s names are compared: letters, vowel signs and digits alone, without case and accents. The builtin collation makes it the same on every system.';

create function app.is_roster_term(vocabulary text, value text)
returns boolean
language sql
immutable
parallel safe
set search_path = ''
return case vocabulary
  when 'unit_type' then value in ('house', 'apartment', 'shop', 'storage', 'office', 'parking')
  when 'unit_status' then value in ('vacant', 'occupied', 'under_maintenance')
  when 'role' then value in ('owner', 'tenant', 'family', 'authorized', 'guest')
  when 'person_kind' then value in ('person', 'company')
  when 'flag' then value in ('true', 'false')
  when 'floor' then value ~ '^-?[0-9]{1,2}$'
  when 'floor_word' then value in ('above', 'below')
  when 'month' then value ~ '^(0[1-9]|1[0-2])$'
  when 'locale' then app.is_locale(value)
  when 'blank' then value = ''
  when 'legal_form' then value in ('before', 'after')
  when 'area_unit' then value in ('m2', 'ft2')
  when 'currency' then value ~ '^[A-Z]{3}$'
  when 'fund_kind' then value in ('operating', 'reserve', 'special', 'deposits')
  else false
end;

comment on function app.is_roster_term(text, text) is 'Whether the vocabulary exists and knows the value.';

grant execute on function app.roster_clean(text), app.roster_digits(text), app.roster_key(text), app.roster_words(text), app.is_roster_term(text, text)
to authenticated, service_role;

-- Fields -------------------------------------------------------------------------------------------------------------

create type public.roster_import as enum ('roster', 'balances');
create type public.roster_entity as enum ('building', 'entrance', 'unit', 'resident', 'occupancy', 'balance');
create type public.roster_value_kind as enum ('text', 'number', 'count', 'floor', 'share', 'date', 'term', 'email', 'phone', 'intercom', 'locale', 'amount');

create table public.roster_fields (
  id uuid not null default extensions.uuidv7(),
  key text not null,
  position smallint not null,
  entity public.roster_entity not null,
  kind public.roster_value_kind not null,
  vocabulary text,
  max_length smallint,
  imports public.roster_import[] not null default '{roster}',
  description text not null,
  like app.row_model including defaults including comments,
  constraint roster_fields_pkey primary key (id),
  constraint roster_fields_key_key unique (key),
  constraint roster_fields_position_key unique (position),
  constraint roster_fields_key_check check (key ~ '^[a-z]+(_[a-z]+)*$'),
  constraint roster_fields_vocabulary_check check ((kind = 'term') = (vocabulary is not null)),
  constraint roster_fields_max_length_check check ((kind = 'text') = (max_length is not null)),
  constraint roster_fields_imports_check check (cardinality(imports) > 0)
);

comment on table public.roster_fields is 'What a column of a roster, or of another list of units and people, can hold. Part of the system: the imports know these and no others.';
comment on column public.roster_fields.key is 'What a mapping calls it.';
comment on column public.roster_fields.position is 'Its place in a template.';
comment on column public.roster_fields.entity is 'What it tells of.';
comment on column public.roster_fields.kind is 'How its cells are read; docs/roster-import.md says what each accepts.';
comment on column public.roster_fields.vocabulary is 'For terms: whose synonyms its cells are looked up in.';
comment on column public.roster_fields.description is 'What it holds, for whoever maps a header to it.';
comment on column public.roster_fields.imports is 'In which files it stands: roster (units and people), balances (what they owe).';
comment on column public.roster_fields.max_length is 'For texts: how many characters a cell may have.';

select app.track('public.roster_fields');

create policy roster_fields_select on public.roster_fields for select to authenticated using ((select app.user_id()) is not null);
grant select on public.roster_fields to authenticated, service_role;

insert into public.roster_fields (key, position, entity, kind, vocabulary, max_length, description) values
  ('building', 1, 'building', 'text', null, 200, 'Building, block, tower or street'),
  ('entrance', 2, 'entrance', 'text', null, 200, 'Entrance of the building'),
  ('unit_number', 3, 'unit', 'text', null, 40, 'Number on the door; the one column a roster must have'),
  ('unit_type', 4, 'unit', 'term', 'unit_type', null, 'House, apartment, shop, storage, office, parking'),
  ('layout', 5, 'unit', 'text', null, 40, 'Rooms, as the market says it'),
  ('floor', 6, 'unit', 'floor', null, null, 'Floor; 0 is the ground floor'),
  ('area', 7, 'unit', 'number', null, null, 'Area in square metres'),
  ('area_sq_ft', 8, 'unit', 'number', null, null, 'Area in square feet, stored in square metres'),
  ('ideal_parts', 9, 'unit', 'number', null, null, 'Share of the common parts'),
  ('occupant_count', 10, 'unit', 'count', null, null, 'Persons who live there, as declared'),
  ('intercom_extension', 11, 'unit', 'intercom', null, null, 'What to dial at the entrance'),
  ('unit_status', 12, 'unit', 'term', 'unit_status', null, 'Vacant, occupied, under maintenance'),
  ('full_name', 13, 'resident', 'text', null, 200, 'Name of the person or company'),
  ('family_name', 14, 'resident', 'text', null, 200, 'Family name, where it stands in a column of its own'),
  ('person_kind', 15, 'resident', 'term', 'person_kind', null, 'Person or company'),
  ('role', 16, 'occupancy', 'term', 'role', null, 'Owner, tenant, family, authorized, guest'),
  ('ownership_share', 17, 'occupancy', 'share', null, null, 'Percent of the unit that an owner owns'),
  ('lives_in', 18, 'occupancy', 'term', 'flag', null, 'Whether the person lives in the unit'),
  ('primary_contact', 19, 'occupancy', 'term', 'flag', null, 'Whom to call about the unit'),
  ('since', 20, 'occupancy', 'date', null, null, 'First day'),
  ('until', 21, 'occupancy', 'date', null, null, 'Last day'),
  ('email', 22, 'resident', 'email', null, null, 'E-mail address'),
  ('phone', 23, 'resident', 'phone', null, null, 'Telephone number'),
  ('identity_number', 24, 'resident', 'text', null, 40, 'Number of the identity document, tax or registration number'),
  ('reference', 25, 'resident', 'text', null, 80, 'The person''s number in the roster'),
  ('locale', 26, 'resident', 'locale', null, null, 'Language to write in'),
  ('postal_address', 27, 'resident', 'text', null, 500, 'Where to write to'),
  ('note', 28, 'resident', 'text', null, 4000, 'Note about the person');

-- By these any list finds units and people.
update public.roster_fields f
set imports = '{roster,balances}'
where f.key in ('building', 'unit_number', 'full_name', 'family_name', 'email', 'phone', 'identity_number', 'reference');

-- Headers ------------------------------------------------------------------------------------------------------------

create table public.roster_header_synonyms (
  id uuid not null default extensions.uuidv7(),
  header text not null,
  field text not null,
  language text not null,
  example text,
  header_key text not null generated always as (app.roster_words(header)) stored,
  like app.row_model including defaults including comments,
  constraint roster_header_synonyms_pkey primary key (id),
  constraint roster_header_synonyms_header_key unique nulls not distinct (language, header_key, deleted_at),
  constraint roster_header_synonyms_field_fkey foreign key (field) references public.roster_fields (key) on delete restrict,
  constraint roster_header_synonyms_header_check check (app.is_name(header)),
  constraint roster_header_synonyms_header_key_check check (header_key <> ''),
  constraint roster_header_synonyms_language_check check (language ~ '^[a-z]{2,3}$'),
  constraint roster_header_synonyms_example_check check (app.is_name(example)),
  constraint roster_header_synonyms_one_field_excl exclude using gist (header_key with =, field with <>) where (deleted_at is null)
);

create index roster_header_synonyms_field_idx on public.roster_header_synonyms (field, language);
create unique index roster_header_synonyms_template_key on public.roster_header_synonyms (language, field)
  where example is not null and deleted_at is null;

comment on table public.roster_header_synonyms is 'What rosters call their columns. Add a row in Studio, and the next import understands the header.';
comment on column public.roster_header_synonyms.header is 'As a person would write it.';
comment on column public.roster_header_synonyms.field is 'What the column holds: a key of roster_fields.';
comment on column public.roster_header_synonyms.language is 'ISO 639: en, es, bg, hi, th.';
comment on column public.roster_header_synonyms.example is 'Set on the one header per field and language that a template shows: a cell that could stand under it.';
comment on column public.roster_header_synonyms.header_key is 'By what headers are compared.';

select app.track('public.roster_header_synonyms');

create policy roster_header_synonyms_select on public.roster_header_synonyms for select to authenticated
  using (deleted_at is null and (select app.user_id()) is not null);
grant select on public.roster_header_synonyms to authenticated;
grant select, insert, update on public.roster_header_synonyms to service_role;

-- The first header of each line is the template's, with the example before it.
insert into public.roster_header_synonyms (field, language, header, example)
select v.field, v.language, h.header, case when h.n = 1 then v.example end
from (values
  ('building', 'en', 'Tower A', '{Building,Block,Tower,Wing,Building name,Block name,Tower name,Block/Tower,Tower/Block,Tower/Wing,Bldg,Phase,Street}'::text[]),
  ('entrance', 'en', 'North', '{Entrance,Entry,Stairwell,Staircase,Lobby}'),
  ('unit_number', 'en', '101', '{Unit,Unit number,Unit no,Unit name,Flat,Flat number,Flat no,Apartment,Apartment number,Apartment no,Apt,Apt number,Apt no,House,House number,House no,Villa,Villa number,Villa no,Door number,Door no,Plot,Plot number,Plot no,Lot,Lot number}'),
  ('unit_type', 'en', 'apartment', '{Type,Unit type,Property type,Type of unit,Use,Usage}'),
  ('layout', 'en', '2BHK', '{Layout,Flat type,Configuration,Config,BHK,Rooms,Bedrooms,Model}'),
  ('floor', 'en', '1', '{Floor,Floor number,Floor no,Level,Storey}'),
  ('area', 'en', '71.50', '{Area,Built area,Built-up area,Carpet area,Super built-up area,Saleable area,Floor area,Living area,Total area,Size,Sqm,Square metres,Square meters}'),
  ('area_sq_ft', 'en', null, '{Sqft,Sft,Square feet,Area sqft,Area sft,Area in sq ft,Carpet area sqft,Built-up area sqft,Super built-up area sqft,Saleable area sqft,SBA,SBUA}'),
  ('ideal_parts', 'en', '1.25', '{Ideal parts,Ideal part,Coefficient,Undivided share,Undivided share of land,UDS,Common share,Share of common parts,Unit entitlement,Entitlement,Percentage of common property,Common elements}'),
  ('occupant_count', 'en', '3', '{Residents,Occupants,Occupant count,Number of residents,No of residents,Number of occupants,No of occupants,People,Persons,Number of persons,Members,No of members,Household size}'),
  ('intercom_extension', 'en', '101', '{Intercom,Intercom extension,Intercom number,Intercom no,Extension,Ext,Buzzer}'),
  ('unit_status', 'en', 'occupied', '{Status,Unit status,Occupancy,Occupancy status,Flat status}'),
  ('full_name', 'en', 'Maria Petrova', '{Name,Full name,Person,Resident,Resident name,Owner,Owner name,Name of owner,Name of the owner,Member name,Name of member,Occupant name,Occupier,First name,Given name,Company name}'),
  ('family_name', 'en', null, '{Last name,Surname,Family name,Middle name}'),
  ('person_kind', 'en', 'person', '{Person or company,Kind,Person kind,Person type,Owner type,Entity type}'),
  ('role', 'en', 'owner', '{Role,Relation,Relationship,Resident type,Occupant type,Member type,Owner/Tenant,Owner or tenant,Capacity,Tenure}'),
  ('ownership_share', 'en', '100', '{Share,Ownership share,Ownership,Ownership percent,Ownership percentage,Share of ownership,Share percent,Owned share,Percentage owned}'),
  ('lives_in', 'en', 'yes', '{Lives in,Lives here,Lives in unit,Living in,Is living in,Resides,Residing,Resident yes/no,Self occupied}'),
  ('primary_contact', 'en', 'yes', '{Primary contact,Main contact,Is primary contact,Primary}'),
  ('since', 'en', '2019-03-01', '{Since,From,From date,Start,Start date,Starts on,Move-in,Move-in date,Moved in,Owner since,Possession date,Date of possession,Lease start,Valid from}'),
  ('until', 'en', '2028-08-31', '{Until,To,To date,End,End date,Ends on,Move-out,Move-out date,Moved out,Lease end,Lease expiry,Valid until,Valid to}'),
  ('email', 'en', 'maria@mail.example', '{Email,Email address,Email id,Mail,Mail id}'),
  ('phone', 'en', '+359 88 555 0101', '{Phone,Phone number,Phone no,Telephone,Telephone number,Tel,Mobile,Mobile number,Mobile no,Mobile phone,Cell,Cell phone,Contact number,Contact no,WhatsApp}'),
  ('identity_number', 'en', 'AB1234567', '{Identity number,ID number,ID no,ID card,Identity document,National ID,Passport,Passport number,Tax number,Tax ID,VAT number,Registration number,Company number,PAN,PAN number,Aadhaar,Aadhaar number,GSTIN}'),
  ('reference', 'en', 'R-0001', '{Reference,Ref,ID,Person ID,Person number,Resident ID,Member ID,Member number,Member no,Membership no,Customer number,Client number,Account number}'),
  ('locale', 'en', 'en', '{Language,Locale,Preferred language}'),
  ('postal_address', 'en', '5 Lime Street, 1000 Sofia', '{Postal address,Correspondence address,Mailing address,Permanent address,Address}'),
  ('note', 'en', 'Has a dog', '{Note,Notes,Remark,Remarks,Comment,Comments}'),

  ('building', 'es', 'Torre 1', '{Edificio,Torre,Bloque,Manzana,Calle,Privada,Clúster,Edificio o calle,Calle o edificio}'),
  ('entrance', 'es', 'Portal 2', '{Entrada,Escalera,Portal,Acceso}'),
  ('unit_number', 'es', '12', '{Unidad,Casa,Departamento,Depto,Dpto,Apartamento,Vivienda,Número,Número de unidad,Número de casa,Número de departamento,Número exterior,Núm,Núm de casa,No de casa,No de unidad,No de depto,Lote,Local,Puerta}'),
  ('unit_type', 'es', 'departamento', '{Tipo,Tipo de unidad,Tipo de inmueble,Tipo de propiedad,Uso,Uso de suelo}'),
  ('layout', 'es', '2 recámaras', '{Distribución,Tipología,Modelo,Prototipo,Recámaras,Habitaciones,Dormitorios}'),
  ('floor', 'es', 'PB', '{Piso,Planta,Nivel}'),
  ('area', 'es', '95,40', '{Superficie,Área,Superficie construida,Superficie total,Superficie de construcción,Construcción,Metros,Metros cuadrados,M2,M2 construcción,M2 de construcción}'),
  ('area_sq_ft', 'es', null, '{Pies cuadrados}'),
  ('ideal_parts', 'es', '1,25', '{Coeficiente,Coeficiente de participación,Coeficiente de copropiedad,Indiviso,Proindiviso,Porcentaje de indiviso,Cuota de participación,Coef}'),
  ('occupant_count', 'es', '4', '{Habitantes,Ocupantes,Residentes,Personas,Integrantes,Número de habitantes,Número de ocupantes,Número de residentes,No de habitantes}'),
  ('intercom_extension', 'es', '112', '{Interfono,Extensión,Portero,Portero automático,Videoportero,Citófono,Intercomunicador}'),
  ('unit_status', 'es', 'ocupada', '{Estado,Estatus,Situación,Ocupación,Estado de la unidad,Estatus de ocupación}'),
  ('full_name', 'es', 'Rosa Martínez Díaz', '{Nombre,Nombres,Nombre completo,Nombre y apellidos,Nombre o razón social,Nombre/Razón social,Razón social,Propietario,Propietaria,Nombre del propietario,Dueño,Titular,Condómino,Residente,Nombre del residente}'),
  ('family_name', 'es', null, '{Apellidos,Apellido,Apellido paterno,Apellido materno,Primer apellido,Segundo apellido}'),
  ('person_kind', 'es', 'física', '{Tipo de persona,Persona física o moral,Persona física/moral}'),
  ('role', 'es', 'propietario', '{Calidad,Rol,Carácter,Relación,Condición,Figura,Tipo de residente,Tipo de ocupante,Propietario/Inquilino}'),
  ('ownership_share', 'es', '100', '{Participación,Porcentaje,Porcentaje de propiedad,Porcentaje de copropiedad,Copropiedad,Propiedad,Proporción,Parte}'),
  ('lives_in', 'es', 'sí', '{Vive aquí,Habita,Reside,Vive en la unidad,Vive en la casa,Habita la unidad}'),
  ('primary_contact', 'es', 'sí', '{Contacto principal,Es contacto principal}'),
  ('since', 'es', '01/03/2019', '{Desde,Inicio,Fecha de inicio,Alta,Fecha de alta,Fecha de entrada,Fecha de compra,Fecha de escrituración,Inicio de contrato}'),
  ('until', 'es', '31/08/2028', '{Hasta,Fin,Fecha de fin,Fecha de término,Baja,Fecha de baja,Fecha de salida,Vencimiento,Fin de contrato}'),
  ('email', 'es', 'rosa@correo.example', '{Correo,Correo electrónico,Email,Mail,Correo-e}'),
  ('phone', 'es', '+52 442 555 0101', '{Teléfono,Tel,Celular,Móvil,Teléfono celular,Teléfono móvil,Número de teléfono,Número de celular,WhatsApp}'),
  ('identity_number', 'es', 'MADR800101AB1', '{Identificación,Número de identificación,Documento,RFC,CURP,INE,DNI,NIF,NIE,CIF,NIF/CIF,DNI/NIE,Cédula}'),
  ('reference', 'es', 'C-0012', '{Referencia,Clave,ID,Folio,Número de socio,Número de cliente,Número de cuenta,Clave de condómino}'),
  ('locale', 'es', 'es', '{Idioma,Lengua}'),
  ('postal_address', 'es', 'Av. Central 5, Querétaro', '{Domicilio,Dirección,Dirección postal,Domicilio fiscal,Domicilio para notificaciones}'),
  ('note', 'es', 'Tiene perro', '{Nota,Notas,Observación,Observaciones,Comentario,Comentarios}'),

  ('building', 'bg', 'Блок 12', '{Сграда,Блок,Бл,Корпус,Тяло,Секция,Улица,Сграда/Блок}'),
  ('entrance', 'bg', 'А', '{Вход,Вх}'),
  ('unit_number', 'bg', '12', '{Обект,Обект №,№ на обект,Номер на обект,Самостоятелен обект,Апартамент,Апартамент №,№ на апартамент,Номер на апартамент,Ап,Ап №,Имот,Имот №,Жилище,Къща,Къща №,Номер}'),
  ('unit_type', 'bg', 'апартамент', '{Вид,Вид обект,Вид на обекта,Вид имот,Тип,Тип обект,Тип на обекта,Предназначение}'),
  ('layout', 'bg', 'тристаен', '{Разпределение,Планировка,Стаи,Брой стаи}'),
  ('floor', 'bg', 'партер', '{Етаж,Ет,Ниво}'),
  ('area', 'bg', '71,50', '{Площ,Застроена площ,Обща площ,Площ по документ,Квадратура,Кв м,Квадратни метри}'),
  ('ideal_parts', 'bg', '1,25', '{Идеални части,Идеална част,Ид части,Ид ч,Идеални части от общите части,Процент идеални части,Дял от общите части,Общи части}'),
  ('occupant_count', 'bg', '3', '{Обитатели,Брой обитатели,Живущи,Брой живущи,Брой лица,Лица,Членове на домакинството}'),
  ('intercom_extension', 'bg', '12', '{Домофон,Номер на домофон,Звънец}'),
  ('unit_status', 'bg', 'обитаем', '{Състояние,Статус,Статус на обекта,Обитаемост}'),
  ('full_name', 'bg', 'Мария Петрова', '{Име,Имена,Три имена,Трите имена,Име и фамилия,Име/Фирма,Име или фирма,Име/Наименование,Наименование,Собственик,Име на собственика,Собственик/Ползвател,Лице,Живущ}'),
  ('family_name', 'bg', null, '{Фамилия,Презиме}'),
  ('person_kind', 'bg', 'лице', '{Вид лице,Тип лице,Лице/Фирма,Физическо/Юридическо лице}'),
  ('role', 'bg', 'собственик', '{Качество,Роля,Отношение,В качеството на}'),
  ('ownership_share', 'bg', '100', '{Дял,Дял от собствеността,Собственост,Притежавана част,Част,Квота}'),
  ('lives_in', 'bg', 'да', '{Живее,Живее тук,Живее в обекта,Обитава,Ползва обекта}'),
  ('primary_contact', 'bg', 'да', '{Лице за контакт,Основен контакт,Контактно лице}'),
  ('since', 'bg', '01.03.2019', '{От,От дата,Считано от,Начало,Начална дата,Дата на придобиване,Собственик от,Вписан на,Дата на вписване}'),
  ('until', 'bg', '31.08.2028', '{До,До дата,Край,Крайна дата,Отписан на,Дата на отписване}'),
  ('email', 'bg', 'maria@mail.example', '{Имейл,Имейл адрес,E-mail,Мейл,Електронна поща,Електронен адрес,Ел поща}'),
  ('phone', 'bg', '+359 88 555 0101', '{Телефон,Телефонен номер,Телефон за контакт,Тел,Мобилен,Мобилен телефон,GSM,ГСМ}'),
  ('identity_number', 'bg', '201234567', '{ЕГН/ЕИК,ЕГН,ЕИК,ЕИК/ЕГН,ЕГН/ЛНЧ,БУЛСТАТ,ЕИК/БУЛСТАТ,Личен номер,Документ за самоличност}'),
  ('reference', 'bg', 'П-0001', '{Партида,Партида №,Партиден номер,Референция,Клиентски номер,Абонатен номер,Номер в книгата,Код}'),
  ('locale', 'bg', 'bg', '{Език}'),
  ('postal_address', 'bg', 'ул. Липа 5, 1000 София', '{Адрес за кореспонденция,Адрес,Пощенски адрес}'),
  ('note', 'bg', 'има куче', '{Бележка,Бележки,Забележка,Забележки,Коментар}'),

  ('building', 'hi', 'टावर ए', '{टावर,भवन,इमारत,बिल्डिंग,ब्लॉक,विंग}'),
  ('entrance', 'hi', 'उत्तर', '{प्रवेश द्वार,प्रवेश,सीढ़ी}'),
  ('unit_number', 'hi', '101', '{फ्लैट नंबर,फ्लैट,फ्लैट संख्या,फ़्लैट,फ़्लैट नंबर,फ़्लैट संख्या,इकाई,इकाई संख्या,यूनिट,यूनिट नंबर,मकान नंबर,मकान संख्या,घर नंबर,घर संख्या}'),
  ('unit_type', 'hi', 'फ्लैट', '{प्रकार,इकाई का प्रकार,संपत्ति का प्रकार,उपयोग}'),
  ('layout', 'hi', '2BHK', '{विन्यास,बीएचके,कमरे,फ्लैट का प्रकार}'),
  ('floor', 'hi', 'भूतल', '{मंज़िल,मंजिल,तल,फ्लोर}'),
  ('area', 'hi', '71.50', '{क्षेत्रफल,क्षेत्र,वर्ग मीटर}'),
  ('area_sq_ft', 'hi', null, '{वर्ग फुट,वर्ग फीट,क्षेत्रफल वर्ग फुट,क्षेत्रफल वर्ग फीट}'),
  ('ideal_parts', 'hi', '1.25', '{अविभाजित हिस्सा,अविभाजित अंश,गुणांक}'),
  ('occupant_count', 'hi', '4', '{निवासियों की संख्या,रहने वालों की संख्या,सदस्य संख्या,सदस्यों की संख्या}'),
  ('intercom_extension', 'hi', '101', '{इंटरकॉम,इंटरकॉम नंबर}'),
  ('unit_status', 'hi', 'खाली', '{स्थिति,इकाई की स्थिति,फ्लैट की स्थिति}'),
  ('full_name', 'hi', 'अनीता शर्मा', '{नाम,पूरा नाम,निवासी,निवासी का नाम,मालिक का नाम,स्वामी का नाम,सदस्य का नाम}'),
  ('family_name', 'hi', null, '{उपनाम,कुलनाम}'),
  ('person_kind', 'hi', 'व्यक्ति', '{व्यक्ति या कंपनी,व्यक्ति का प्रकार}'),
  ('role', 'hi', 'मालिक', '{भूमिका,संबंध,हैसियत,निवासी का प्रकार}'),
  ('ownership_share', 'hi', '100', '{हिस्सा,हिस्सेदारी,स्वामित्व,स्वामित्व हिस्सा,स्वामित्व प्रतिशत}'),
  ('lives_in', 'hi', 'हाँ', '{यहाँ रहते हैं,यहां रहते हैं,रहते हैं,निवास करते हैं}'),
  ('primary_contact', 'hi', 'हाँ', '{मुख्य संपर्क,प्राथमिक संपर्क}'),
  ('since', 'hi', '01/03/2019', '{कब से,से,प्रारंभ तिथि,आरंभ तिथि,कब्ज़े की तिथि}'),
  ('until', 'hi', '31/08/2028', '{कब तक,तक,समाप्ति तिथि,अंतिम तिथि}'),
  ('email', 'hi', 'anita@mail.example', '{ईमेल,ईमेल पता}'),
  ('phone', 'hi', '+91 80 5550 0101', '{मोबाइल,मोबाइल नंबर,फ़ोन,फ़ोन नंबर,फोन,फोन नंबर,दूरभाष,संपर्क नंबर}'),
  ('identity_number', 'hi', 'ABCDE1234F', '{पहचान संख्या,पहचान पत्र संख्या,आधार,आधार संख्या,आधार नंबर,पैन}'),
  ('reference', 'hi', 'M-0001', '{सदस्य क्रमांक,सदस्यता संख्या,संदर्भ,संदर्भ संख्या}'),
  ('locale', 'hi', 'hi', '{भाषा}'),
  ('postal_address', 'hi', '5 एमजी रोड, बेंगलुरु', '{पत्राचार का पता,पता,डाक पता}'),
  ('note', 'hi', 'कुत्ता है', '{टिप्पणी,नोट}'),

  ('building', 'th', 'อาคาร 1', '{อาคาร,ชื่ออาคาร,ตึก,ซอย,เฟส}'),
  ('entrance', 'th', 'ทิศเหนือ', '{ทางเข้า,โถง}'),
  ('unit_number', 'th', '12/3', '{เลขที่ห้อง,ห้อง,ห้องเลขที่,หมายเลขห้อง,เลขห้อง,ห้องชุด,ห้องชุดเลขที่,บ้านเลขที่,เลขที่บ้าน,ยูนิต,แปลง}'),
  ('unit_type', 'th', 'ห้องชุด', '{ประเภท,ประเภทห้อง,ประเภทห้องชุด,ประเภทยูนิต,ชนิด}'),
  ('layout', 'th', '1 ห้องนอน', '{แบบห้อง,รูปแบบห้อง,แบบบ้าน,จำนวนห้องนอน}'),
  ('floor', 'th', '2', '{ชั้น,ชั้นที่}'),
  ('area', 'th', '34.50', '{พื้นที่,เนื้อที่,ขนาด,ขนาดพื้นที่,พื้นที่ใช้สอย,ตารางเมตร}'),
  ('area_sq_ft', 'th', null, '{ตารางฟุต}'),
  ('ideal_parts', 'th', '1.25', '{อัตราส่วนกรรมสิทธิ์,อัตราส่วนกรรมสิทธิ์ในทรัพย์ส่วนกลาง,อัตราส่วน}'),
  ('occupant_count', 'th', '2', '{จำนวนผู้อยู่อาศัย,จำนวนผู้พักอาศัย,จำนวนคน}'),
  ('intercom_extension', 'th', '203', '{อินเตอร์คอม,เบอร์ภายใน}'),
  ('unit_status', 'th', 'ว่าง', '{สถานะ,สถานะห้อง}'),
  ('full_name', 'th', 'สมชาย ใจดี', '{ชื่อ-นามสกุล,ชื่อ-สกุล,ชื่อ,ชื่อเจ้าของ,เจ้าของ,เจ้าของร่วม,ชื่อเจ้าของร่วม,ผู้พักอาศัย,ชื่อผู้พักอาศัย}'),
  ('family_name', 'th', null, '{นามสกุล,สกุล}'),
  ('person_kind', 'th', 'บุคคลธรรมดา', '{ประเภทบุคคล,บุคคล/นิติบุคคล}'),
  ('role', 'th', 'เจ้าของ', '{ฐานะ,บทบาท,ความสัมพันธ์,สถานภาพ,ประเภทผู้อยู่อาศัย}'),
  ('ownership_share', 'th', '100', '{สัดส่วนการถือครอง,สัดส่วน,สัดส่วนกรรมสิทธิ์,ร้อยละ}'),
  ('lives_in', 'th', 'ใช่', '{พักอาศัย,พักอาศัยจริง,อยู่อาศัย,อาศัยอยู่}'),
  ('primary_contact', 'th', 'ใช่', '{ผู้ติดต่อหลัก}'),
  ('since', 'th', '01/03/2562', '{ตั้งแต่,วันที่เริ่ม,เริ่มวันที่,วันที่เข้าอยู่,วันที่โอน,วันเริ่มสัญญา}'),
  ('until', 'th', '31/08/2571', '{ถึง,จนถึง,วันที่สิ้นสุด,สิ้นสุดวันที่,วันที่ย้ายออก,วันสิ้นสุดสัญญา}'),
  ('email', 'th', 'somchai@mail.example', '{อีเมล,อีเมล์}'),
  ('phone', 'th', '081-555-0101', '{โทรศัพท์,เบอร์โทร,เบอร์โทรศัพท์,มือถือ,เบอร์มือถือ,โทร}'),
  ('identity_number', 'th', '1101700200012', '{เลขประจำตัวประชาชน,เลขบัตรประชาชน,เลขประจำตัว,เลขผู้เสียภาษี,เลขทะเบียนนิติบุคคล}'),
  ('reference', 'th', 'ล-0001', '{รหัสลูกบ้าน,รหัส,รหัสสมาชิก,เลขอ้างอิง}'),
  ('locale', 'th', 'th', '{ภาษา}'),
  ('postal_address', 'th', '5 ถนนนิมมาน เชียงใหม่', '{ที่อยู่จัดส่งเอกสาร,ที่อยู่,ที่อยู่ตามทะเบียนบ้าน}'),
  ('note', 'th', 'มีสุนัข', '{หมายเหตุ}')
) v (field, language, example, headers)
cross join unnest(v.headers) with ordinality h (header, n);

-- Values -------------------------------------------------------------------------------------------------------------

create table public.roster_value_synonyms (
  id uuid not null default extensions.uuidv7(),
  term text not null,
  vocabulary text not null,
  value text not null,
  language text not null,
  term_key text not null generated always as (coalesce(nullif(app.roster_words(term), ''), term)) stored,
  like app.row_model including defaults including comments,
  constraint roster_value_synonyms_pkey primary key (id),
  constraint roster_value_synonyms_term_key unique nulls not distinct (vocabulary, term_key, language, deleted_at),
  constraint roster_value_synonyms_term_check check (app.is_name(term)),
  constraint roster_value_synonyms_value_check check (app.is_roster_term(vocabulary, value)),
  constraint roster_value_synonyms_language_check check (language ~ '^[a-z]{2,3}$'),
  -- Over both columns as one: a GiST index on each would be taken for the cheapest way to look a term up, and is the dearest.
  constraint roster_value_synonyms_one_value_excl exclude using gist ((vocabulary || ':' || term_key) with =, value with <>) where (deleted_at is null)
);

comment on table public.roster_value_synonyms is 'What rosters call the values of their cells: departamento is an apartment. Add a row in Studio, and the next import understands the word.';
comment on column public.roster_value_synonyms.term is 'As a person would write it. For legal forms: the form as it stands before or after a company''s name.';
comment on column public.roster_value_synonyms.vocabulary is
  'unit_type, unit_status, role, person_kind, flag, floor (a floor''s name), floor_word (stands beside a floor''s number), month, locale, area_unit, currency (stands beside an amount), fund_kind, blank (stands for nothing), legal_form (makes a name a company''s).';
comment on column public.roster_value_synonyms.value is 'What is stored.';
comment on column public.roster_value_synonyms.language is 'ISO 639: en, es, bg, hi, th.';
comment on column public.roster_value_synonyms.term_key is 'By what terms are compared; a term of signs alone is compared as it is.';

select app.track('public.roster_value_synonyms');

create policy roster_value_synonyms_select on public.roster_value_synonyms for select to authenticated
  using (deleted_at is null and (select app.user_id()) is not null);
grant select on public.roster_value_synonyms to authenticated;
grant select, insert, update on public.roster_value_synonyms to service_role;

insert into public.roster_value_synonyms (vocabulary, value, language, term)
select v.vocabulary, v.value, v.language, t
from (values
  ('unit_type', 'house', 'en', '{house,villa,bungalow,townhouse,row house,detached house,independent house,cottage}'::text[]),
  ('unit_type', 'house', 'es', '{casa,casa habitación,chalet,villa,residencia,vivienda unifamiliar}'),
  ('unit_type', 'house', 'bg', '{къща,вила,еднофамилна къща,редова къща}'),
  ('unit_type', 'house', 'hi', '{मकान,घर,बंगला,विला,कोठी}'),
  ('unit_type', 'house', 'th', '{บ้าน,บ้านเดี่ยว,บ้านแฝด,ทาวน์เฮาส์,ทาวน์โฮม}'),
  ('unit_type', 'apartment', 'en', '{apartment,apt,flat,condo,condominium,studio,maisonette,penthouse,duplex,residential,dwelling}'),
  ('unit_type', 'apartment', 'es', '{departamento,depto,dpto,apartamento,piso,vivienda,ático,estudio,dúplex,penthouse}'),
  ('unit_type', 'apartment', 'bg', '{апартамент,ап,жилище,ателие,студио,мезонет,гарсониера}'),
  ('unit_type', 'apartment', 'hi', '{फ्लैट,फ़्लैट,अपार्टमेंट}'),
  ('unit_type', 'apartment', 'th', '{ห้องชุด,ห้องชุดพักอาศัย,คอนโด,คอนโดมิเนียม,อพาร์ตเมนต์,ห้องพัก}'),
  ('unit_type', 'shop', 'en', '{shop,store,retail,commercial,commercial unit,showroom}'),
  ('unit_type', 'shop', 'es', '{local,local comercial,tienda,comercio,comercial}'),
  ('unit_type', 'shop', 'bg', '{магазин,търговски обект,заведение}'),
  ('unit_type', 'shop', 'hi', '{दुकान,दूकान}'),
  ('unit_type', 'shop', 'th', '{ร้านค้า,ร้าน,ห้องชุดพาณิชย์,พาณิชย์}'),
  ('unit_type', 'storage', 'en', '{storage,storage room,storeroom,cellar,locker}'),
  ('unit_type', 'storage', 'es', '{bodega,trastero,almacén}'),
  ('unit_type', 'storage', 'bg', '{склад,складово помещение,мазе,изба,таван,таванско помещение}'),
  ('unit_type', 'storage', 'hi', '{गोदाम,भंडार,स्टोर}'),
  ('unit_type', 'storage', 'th', '{ห้องเก็บของ}'),
  ('unit_type', 'office', 'en', '{office}'),
  ('unit_type', 'office', 'es', '{oficina,despacho,consultorio}'),
  ('unit_type', 'office', 'bg', '{офис,кабинет,кантора}'),
  ('unit_type', 'office', 'hi', '{कार्यालय,दफ़्तर,ऑफिस}'),
  ('unit_type', 'office', 'th', '{สำนักงาน,ออฟฟิศ}'),
  ('unit_type', 'parking', 'en', '{parking,parking space,parking place,parking slot,parking lot,car park,garage}'),
  ('unit_type', 'parking', 'es', '{estacionamiento,cajón,cajón de estacionamiento,cochera,garaje,plaza de garaje,aparcamiento}'),
  ('unit_type', 'parking', 'bg', '{паркомясто,паркоместо,място за паркиране,паркинг,гараж}'),
  ('unit_type', 'parking', 'hi', '{पार्किंग,गैराज}'),
  ('unit_type', 'parking', 'th', '{ที่จอดรถ,โรงรถ}'),

  ('unit_status', 'vacant', 'en', '{vacant,empty,unoccupied,free,unsold}'),
  ('unit_status', 'vacant', 'es', '{vacante,vacía,vacío,desocupada,desocupado,deshabitada,deshabitado,libre}'),
  ('unit_status', 'vacant', 'bg', '{празен,празна,празно,свободен,свободна,свободно,необитаем,необитаван}'),
  ('unit_status', 'vacant', 'hi', '{खाली,रिक्त}'),
  ('unit_status', 'vacant', 'th', '{ว่าง,ห้องว่าง}'),
  ('unit_status', 'occupied', 'en', '{occupied,inhabited,owner occupied,self occupied,tenanted,rented,rented out,let}'),
  ('unit_status', 'occupied', 'es', '{ocupada,ocupado,habitada,habitado,rentada,rentado,alquilada,alquilado}'),
  ('unit_status', 'occupied', 'bg', '{обитаем,обитаван,зает,заета,заето,отдаден,отдаден под наем}'),
  ('unit_status', 'occupied', 'hi', '{भरा,आबाद,किराए पर}'),
  ('unit_status', 'occupied', 'th', '{ไม่ว่าง,มีผู้อยู่อาศัย,มีผู้พักอาศัย,ให้เช่า}'),
  ('unit_status', 'under_maintenance', 'en', '{under maintenance,maintenance,under repair,under renovation,renovation}'),
  ('unit_status', 'under_maintenance', 'es', '{en mantenimiento,mantenimiento,en reparación,en remodelación,en obra,en obras}'),
  ('unit_status', 'under_maintenance', 'bg', '{в ремонт,ремонт,в поддръжка}'),
  ('unit_status', 'under_maintenance', 'hi', '{मरम्मत में,मरम्मत,रखरखाव में}'),
  ('unit_status', 'under_maintenance', 'th', '{ปิดปรับปรุง,ซ่อมแซม,กำลังซ่อม,อยู่ระหว่างซ่อม}'),

  ('role', 'owner', 'en', '{owner,co-owner,joint owner,proprietor,landlord}'),
  ('role', 'owner', 'es', '{propietario,propietaria,copropietario,copropietaria,dueño,dueña,titular,condómino}'),
  ('role', 'owner', 'bg', '{собственик,собственичка,съсобственик}'),
  ('role', 'owner', 'hi', '{मालिक,मकान मालिक,स्वामी,सह-स्वामी}'),
  ('role', 'owner', 'th', '{เจ้าของ,เจ้าของร่วม,เจ้าของห้อง,ผู้ถือกรรมสิทธิ์}'),
  ('role', 'tenant', 'en', '{tenant,renter,lessee}'),
  ('role', 'tenant', 'es', '{inquilino,inquilina,arrendatario,arrendataria}'),
  ('role', 'tenant', 'bg', '{наемател,наемателка}'),
  ('role', 'tenant', 'hi', '{किराएदार,किरायेदार}'),
  ('role', 'tenant', 'th', '{ผู้เช่า}'),
  ('role', 'family', 'en', '{family,family member,spouse,husband,wife,child,son,daughter,parent,relative,dependent}'),
  ('role', 'family', 'es', '{familia,familiar,cónyuge,esposo,esposa,hijo,hija,pariente}'),
  ('role', 'family', 'bg', '{семейство,член на семейството,член на семейство,съпруг,съпруга,дете,син,дъщеря,роднина}'),
  ('role', 'family', 'hi', '{परिवार,परिवार का सदस्य,पति,पत्नी,पुत्र,पुत्री,बेटा,बेटी}'),
  ('role', 'family', 'th', '{ครอบครัว,สมาชิกในครอบครัว,คู่สมรส,บุตร,ญาติ}'),
  ('role', 'authorized', 'en', '{authorized,authorised,authorized person,authorised person,representative,agent,caretaker}'),
  ('role', 'authorized', 'es', '{autorizado,autorizada,representante,apoderado,apoderada}'),
  ('role', 'authorized', 'bg', '{упълномощен,упълномощена,упълномощено лице,пълномощник,представител}'),
  ('role', 'authorized', 'hi', '{अधिकृत,अधिकृत व्यक्ति,प्रतिनिधि}'),
  ('role', 'authorized', 'th', '{ผู้รับมอบอำนาจ,ผู้แทน,ตัวแทน}'),
  ('role', 'guest', 'en', '{guest,visitor}'),
  ('role', 'guest', 'es', '{invitado,invitada,huésped,visitante}'),
  ('role', 'guest', 'bg', '{гост,посетител}'),
  ('role', 'guest', 'hi', '{अतिथि,मेहमान}'),
  ('role', 'guest', 'th', '{แขก,ผู้มาเยือน}'),

  ('person_kind', 'person', 'en', '{person,individual,natural person}'),
  ('person_kind', 'person', 'es', '{persona,persona física,física,persona natural,individuo}'),
  ('person_kind', 'person', 'bg', '{лице,физическо лице,физическо,фл}'),
  ('person_kind', 'person', 'hi', '{व्यक्ति}'),
  ('person_kind', 'person', 'th', '{บุคคล,บุคคลธรรมดา}'),
  ('person_kind', 'company', 'en', '{company,organization,organisation,legal entity,business,firm,trust,corporate}'),
  ('person_kind', 'company', 'es', '{empresa,persona moral,moral,persona jurídica,sociedad,compañía}'),
  ('person_kind', 'company', 'bg', '{фирма,юридическо лице,юридическо,юл,дружество,компания}'),
  ('person_kind', 'company', 'hi', '{कंपनी,फर्म,संस्था}'),
  ('person_kind', 'company', 'th', '{นิติบุคคล,บริษัท}'),

  ('flag', 'true', 'en', '{yes,y,true,1,x,✓,✔,☑,+}'),
  ('flag', 'true', 'es', '{sí,s,verdadero}'),
  ('flag', 'true', 'bg', '{да,д,х}'),
  ('flag', 'true', 'hi', '{हाँ,हां,जी हाँ}'),
  ('flag', 'true', 'th', '{ใช่}'),
  ('flag', 'false', 'en', '{no,n,false,0,✗,✘,☐}'),
  ('flag', 'false', 'es', '{no,falso}'),
  ('flag', 'false', 'bg', '{не,н}'),
  ('flag', 'false', 'hi', '{नहीं,ना}'),
  ('flag', 'false', 'th', '{ไม่,ไม่ใช่}'),

  ('floor', '0', 'en', '{ground,ground floor,ground level,g,gf}'),
  ('floor', '0', 'es', '{planta baja,pb,baja,bajo}'),
  ('floor', '0', 'bg', '{партер,приземен,приземен етаж,приземие}'),
  ('floor', '0', 'hi', '{भूतल,भूमि तल}'),
  ('floor', '0', 'th', '{ชั้นล่าง}'),
  ('floor', '-1', 'en', '{basement,cellar,lower ground,lg,b}'),
  ('floor', '-1', 'es', '{sótano,semisótano}'),
  ('floor', '-1', 'bg', '{сутерен,подземен,подземен етаж,изба,мазе}'),
  ('floor', '-1', 'hi', '{तहखाना,बेसमेंट}'),
  ('floor', '-1', 'th', '{ชั้นใต้ดิน,ใต้ดิน}'),
  ('floor', '1', 'en', '{first,first floor}'),
  ('floor', '1', 'es', '{primero,primer piso}'),
  ('floor', '1', 'bg', '{първи,първи етаж}'),
  ('floor', '1', 'hi', '{पहली मंजिल,पहला तल,प्रथम तल}'),
  ('floor', '2', 'en', '{second,second floor}'),
  ('floor', '2', 'es', '{segundo,segundo piso}'),
  ('floor', '2', 'bg', '{втори,втори етаж}'),
  ('floor', '2', 'hi', '{दूसरी मंजिल,दूसरा तल,द्वितीय तल}'),
  ('floor', '3', 'en', '{third,third floor}'),
  ('floor', '3', 'es', '{tercero,tercer piso}'),
  ('floor', '3', 'bg', '{трети,трети етаж}'),
  ('floor', '3', 'hi', '{तीसरी मंजिल,तीसरा तल,तृतीय तल}'),
  ('floor_word', 'above', 'en', '{floor,level,storey,fl,st,nd,rd,th,st floor,nd floor,rd floor,th floor}'),
  ('floor_word', 'above', 'es', '{piso,planta,nivel,p,o,a,er,er piso,o piso,do,do piso,ro,to,to piso}'),
  ('floor_word', 'above', 'bg', '{етаж,ет,ниво,ви,ри,ти,ми,и,ви етаж,ри етаж,ти етаж,ми етаж}'),
  ('floor_word', 'above', 'hi', '{मंज़िल,मंजिल,तल,वीं मंजिल,वां तल}'),
  ('floor_word', 'above', 'th', '{ชั้น,ชั้นที่}'),
  ('floor_word', 'below', 'en', '{basement,b,level b}'),
  ('floor_word', 'below', 'es', '{sótano,sot,s}'),
  ('floor_word', 'below', 'bg', '{сутерен,подземен,подземно ниво,подземен етаж}'),
  ('floor_word', 'below', 'hi', '{बेसमेंट}'),
  ('floor_word', 'below', 'th', '{ชั้นใต้ดิน,ใต้ดิน}'),

  ('area_unit', 'm2', 'en', '{m2,m,sqm,sq mt,sq mts,sq metres,sq meters,square metres,square meters}'),
  ('area_unit', 'm2', 'es', '{mts2,mts,mt2,metros,metros cuadrados}'),
  ('area_unit', 'm2', 'bg', '{кв м,кв метра,м2,м,квадратни метри}'),
  ('area_unit', 'm2', 'hi', '{वर्ग मीटर}'),
  ('area_unit', 'm2', 'th', '{ตร.ม.,ตารางเมตร}'),
  ('area_unit', 'ft2', 'en', '{ft2,sqft,sft,sq feet,square feet}'),
  ('area_unit', 'ft2', 'es', '{pies cuadrados,pies2}'),
  ('area_unit', 'ft2', 'hi', '{वर्ग फुट,वर्ग फीट}'),
  ('area_unit', 'ft2', 'th', '{ตารางฟุต}'),

  ('month', '01', 'en', '{january,jan}'), ('month', '02', 'en', '{february,feb}'), ('month', '03', 'en', '{march,mar}'),
  ('month', '04', 'en', '{april,apr}'), ('month', '05', 'en', '{may}'), ('month', '06', 'en', '{june,jun}'),
  ('month', '07', 'en', '{july,jul}'), ('month', '08', 'en', '{august,aug}'), ('month', '09', 'en', '{september,sep,sept}'),
  ('month', '10', 'en', '{october,oct}'), ('month', '11', 'en', '{november,nov}'), ('month', '12', 'en', '{december,dec}'),
  ('month', '01', 'es', '{enero,ene}'), ('month', '02', 'es', '{febrero,feb}'), ('month', '03', 'es', '{marzo,mar}'),
  ('month', '04', 'es', '{abril,abr}'), ('month', '05', 'es', '{mayo}'), ('month', '06', 'es', '{junio,jun}'),
  ('month', '07', 'es', '{julio,jul}'), ('month', '08', 'es', '{agosto,ago}'), ('month', '09', 'es', '{septiembre,setiembre,sep}'),
  ('month', '10', 'es', '{octubre,oct}'), ('month', '11', 'es', '{noviembre,nov}'), ('month', '12', 'es', '{diciembre,dic}'),
  ('month', '01', 'bg', '{януари,ян}'), ('month', '02', 'bg', '{февруари,февр}'), ('month', '03', 'bg', '{март}'),
  ('month', '04', 'bg', '{април,апр}'), ('month', '05', 'bg', '{май}'), ('month', '06', 'bg', '{юни}'),
  ('month', '07', 'bg', '{юли}'), ('month', '08', 'bg', '{август,авг}'), ('month', '09', 'bg', '{септември,септ}'),
  ('month', '10', 'bg', '{октомври,окт}'), ('month', '11', 'bg', '{ноември,ноем}'), ('month', '12', 'bg', '{декември,дек}'),
  ('month', '01', 'hi', '{जनवरी}'), ('month', '02', 'hi', '{फ़रवरी,फरवरी}'), ('month', '03', 'hi', '{मार्च}'),
  ('month', '04', 'hi', '{अप्रैल}'), ('month', '05', 'hi', '{मई}'), ('month', '06', 'hi', '{जून}'),
  ('month', '07', 'hi', '{जुलाई}'), ('month', '08', 'hi', '{अगस्त}'), ('month', '09', 'hi', '{सितंबर,सितम्बर}'),
  ('month', '10', 'hi', '{अक्टूबर,अक्तूबर}'), ('month', '11', 'hi', '{नवंबर,नवम्बर}'), ('month', '12', 'hi', '{दिसंबर,दिसम्बर}'),
  ('month', '01', 'th', '{มกราคม,ม.ค.}'), ('month', '02', 'th', '{กุมภาพันธ์,ก.พ.}'), ('month', '03', 'th', '{มีนาคม,มี.ค.}'),
  ('month', '04', 'th', '{เมษายน,เม.ย.}'), ('month', '05', 'th', '{พฤษภาคม,พ.ค.}'), ('month', '06', 'th', '{มิถุนายน,มิ.ย.}'),
  ('month', '07', 'th', '{กรกฎาคม,ก.ค.}'), ('month', '08', 'th', '{สิงหาคม,ส.ค.}'), ('month', '09', 'th', '{กันยายน,ก.ย.}'),
  ('month', '10', 'th', '{ตุลาคม,ต.ค.}'), ('month', '11', 'th', '{พฤศจิกายน,พ.ย.}'), ('month', '12', 'th', '{ธันวาคม,ธ.ค.}'),

  ('locale', 'en', 'en', '{English}'), ('locale', 'es', 'en', '{Spanish}'), ('locale', 'bg', 'en', '{Bulgarian}'), ('locale', 'hi', 'en', '{Hindi}'),
  ('locale', 'th', 'en', '{Thai}'), ('locale', 'de', 'en', '{German}'), ('locale', 'fr', 'en', '{French}'), ('locale', 'ru', 'en', '{Russian}'),
  ('locale', 'kn', 'en', '{Kannada}'), ('locale', 'ta', 'en', '{Tamil}'), ('locale', 'mr', 'en', '{Marathi}'), ('locale', 'zh', 'en', '{Chinese}'),
  ('locale', 'en', 'es', '{inglés}'), ('locale', 'es', 'es', '{español,castellano}'), ('locale', 'de', 'es', '{alemán}'), ('locale', 'fr', 'es', '{francés}'),
  ('locale', 'en', 'bg', '{английски}'), ('locale', 'bg', 'bg', '{български}'), ('locale', 'de', 'bg', '{немски}'), ('locale', 'ru', 'bg', '{руски}'),
  ('locale', 'en', 'hi', '{अंग्रेज़ी,अंग्रेजी}'), ('locale', 'hi', 'hi', '{हिन्दी,हिंदी}'),
  ('locale', 'en', 'th', '{อังกฤษ,ภาษาอังกฤษ}'), ('locale', 'th', 'th', '{ไทย,ภาษาไทย}'),

  ('blank', '', 'en', '{n/a,none,nil,"null",unknown}'), ('blank', '', 'es', '{sin dato,sin datos,s/d,no aplica,ninguno}'),
  ('blank', '', 'bg', '{няма,няма данни,неизвестен}'), ('blank', '', 'hi', '{लागू नहीं}'), ('blank', '', 'th', '{ไม่มี,ไม่ระบุ}'),

  ('legal_form', 'after', 'en', '{ltd,limited,llc,llp,plc,inc,corp,corporation,co ltd,pvt ltd,private limited,gmbh,trust,foundation}'),
  ('legal_form', 'after', 'es', '{sa,sa de cv,s de rl,s de rl de cv,sapi de cv,sl,slu,sc,sas,ac}'),
  ('legal_form', 'after', 'bg', '{ООД,ЕООД,АД,ЕАД,СД,КД,КДА,ДЗЗД,OOD,EOOD,EAD}'),
  ('legal_form', 'before', 'bg', '{ЕТ,Община,Фондация,Сдружение}'),
  ('legal_form', 'after', 'hi', '{लिमिटेड,प्राइवेट लिमिटेड,प्रा लि}'),
  ('legal_form', 'before', 'th', '{บริษัท,ห้างหุ้นส่วน,หจก,บจก,บมจ}'),
  ('legal_form', 'after', 'th', '{จำกัด}')
) v (vocabulary, value, language, terms)
cross join unnest(v.terms) t;

-- Templates ----------------------------------------------------------------------------------------------------------

create function public.roster_headers(language text default 'en', import public.roster_import default 'roster')
returns table (field text, header text, example text)
language plpgsql
stable
set search_path = ''
as $$
begin
  return query
    select f.key, s.header, s.example
    from public.roster_fields f
    join public.roster_header_synonyms s on s.field = f.key and s.example is not null and s.deleted_at is null
    where s.language = lower(split_part(roster_headers.language, '-', 1)) and roster_headers.import = any (f.imports)
    order by f.position;
  if not found then
    perform app.fail(422, 'unknown_language', format('There is no template in the language %s.', coalesce(left(roster_headers.language, 40), 'null')),
      'Templates exist in: ' || coalesce((
        select string_agg(distinct s.language, ', ') from public.roster_header_synonyms s where s.example is not null and s.deleted_at is null), 'none'));
  end if;
end;
$$;

comment on function public.roster_headers(text, public.roster_import) is
  'The columns of an empty roster, or list of opening balances (import: balances), in a language (en, es, bg, hi, th; es-MX counts as es), in order: the field, its header, and a cell that could stand under it. Errors: unknown_language.';

grant execute on function public.roster_headers(text, public.roster_import) to authenticated, service_role;
