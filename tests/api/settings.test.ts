import type { SupabaseClient } from '@supabase/supabase-js';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startTestStack, type TestStack } from '../support/stack.ts';

let stack: TestStack;
let home: string;
let manager: SupabaseClient;
let resident: SupabaseClient;

beforeAll(async () => {
  stack = await startTestStack();
  const rows = await stack.sql<{ id: string }>(
    `select public.create_community(public.create_organization('Settings', 'settings', 'BG'), 'Settings', 'settings', 'BG', 'EUR', 'Europe/Sofia') as id`,
  );
  home = rows[0]!.id;
  const user = async (name: string, role: string): Promise<SupabaseClient> => {
    const { id, email } = await stack.createUser({ email: `${name}@settings.example` });
    await stack.sql('select public.grant_role($1, $2, community_id => $3)', [id, role, home]);
    return stack.client(email);
  };
  manager = await user('manager', 'manager');
  resident = await user('resident', 'guest');
});
afterAll(() => stack?.stop());

const settingOf = async (client: SupabaseClient, key: string): Promise<unknown> => {
  const { data } = await client.rpc('settings', { community_id: home }).eq('key', key).single().throwOnError();
  return data;
};

describe('an app', () => {
  test('sets, reads and unsets a value as plain JSON', async () => {
    const { data: set } = await manager.rpc('set_setting', { key: 'security.signed_url_seconds', value: 60, community_id: home }).throwOnError();
    expect(set).toBe(60);
    expect(await settingOf(resident, 'security.signed_url_seconds')).toEqual({
      key: 'security.signed_url_seconds', category: 'security', value: 60, source: 'community',
    });
    const { data: unset } = await manager.rpc('set_setting', { key: 'security.signed_url_seconds', value: null, community_id: home }).throwOnError();
    expect(unset).toBe(300);
    expect(await settingOf(resident, 'security.signed_url_seconds')).toMatchObject({ value: 300, source: 'default' });
  });

  test('is told with a status and a token what is wrong with a value', async () => {
    const { status, error } = await manager.rpc('set_setting', { key: 'security.signed_url_seconds', value: 'soon', community_id: home });
    expect([status, error?.code, error?.message, error?.details]).toEqual([422, 'PT422', 'invalid_value', 'security.signed_url_seconds is a number.']);
    expect((await resident.rpc('set_setting', { key: 'security.signed_url_seconds', value: 60, community_id: home })).status).toBe(403);
  });

  test('keeps what its user prefers, wherever the user is', async () => {
    await resident.rpc('set_preference', { key: 'general.theme', value: 'dark' }).throwOnError();
    expect(await settingOf(resident, 'general.theme')).toMatchObject({ value: 'dark', source: 'user' });
    expect(await settingOf(manager, 'general.theme')).toMatchObject({ value: 'system', source: 'default' });
    const { data } = await manager.from('user_preferences').select('*');
    expect(data).toEqual([]);
  });

  test('learns which features are on, and is refused what is off', async () => {
    const upload = () => manager.rpc('register_file', { community_id: home, purpose: 'community.logo', file_name: 'logo.png', content_type: 'image/png', size: 10 });
    await stack.sql(`select public.set_feature('files.upload', false, community_id => $1)`, [home]);
    const { data: features } = await resident.rpc('features', { community_id: home }).eq('key', 'files.upload').throwOnError();
    expect(features).toEqual([{ key: 'files.upload', is_enabled: false, source: 'community', is_locked: false }]);
    const refused = await upload();
    expect([refused.status, refused.error?.message]).toEqual([403, 'feature_disabled']);
    await stack.sql(`select public.set_feature('files.upload', null, community_id => $1)`, [home]);
    expect((await upload()).error).toBeNull();
  });
});

/** Runs `first` in a transaction, starts `second` so that it has to wait, and commits. Answers what became of the second. */
async function race(first: string, second: string): Promise<string> {
  const [one, other] = [new pg.Client({ connectionString: stack.databaseUrl }), new pg.Client({ connectionString: stack.databaseUrl })];
  await Promise.all([one.connect(), other.connect()]);
  const { rows } = await other.query<{ pid: number }>('select pg_backend_pid() as pid');
  await one.query('begin');
  await one.query(first);
  const late = other.query(second).then(() => 'done', (error: pg.DatabaseError) => error.message);
  for (;;) {
    const [row] = await stack.sql('select wait_event_type from pg_catalog.pg_stat_activity where pid = $1', [rows[0]?.pid]);
    if (row?.wait_event_type === 'Lock') break;
  }
  await one.query('commit');
  const outcome = await late;
  await Promise.all([one.end(), other.end()]);
  return outcome;
}

describe('of two sessions at once', () => {
  const set = (key: string, value: number): string => `select public.set_setting('${key}', '${value}', community_id => '${home}')`;
  const narrow = (key: string): string => `update public.setting_definitions set maximum = 50 where key = '${key}'`;
  const define = (key: string) => stack.sql(`select app.define_setting('${key}', 'integer', '1', '{community}', 'Race', maximum => 100)`);
  const valuesOf = (key: string) => stack.sql('select value from public.setting_values where key = $1 and deleted_at is null', [key]);

  test('one sets a value, the other narrows its bounds: the bounds stay', async () => {
    await define('general.race_one');
    expect(await race(set('general.race_one', 90), narrow('general.race_one'))).toBe('setting_in_use');
    expect(await valuesOf('general.race_one')).toEqual([{ value: 90 }]);
  });

  test('one narrows bounds, the other sets a value beyond them: the value is refused', async () => {
    await define('general.race_two');
    expect(await race(narrow('general.race_two'), set('general.race_two', 90))).toBe('invalid_value');
    expect(await valuesOf('general.race_two')).toEqual([]);
  });

  test('both set a value for the first time: there is one, the later', async () => {
    await define('general.race_three');
    expect(await race(set('general.race_three', 10), set('general.race_three', 20))).toBe('done');
    expect(await valuesOf('general.race_three')).toEqual([{ value: 20 }]);
  });

  test('both switch one feature for the first time: there is one value, the later', async () => {
    const turn = (on: boolean): string => `select public.set_feature('files.upload', ${on}, community_id => '${home}')`;
    expect(await race(turn(false), turn(true))).toBe('done');
    expect(await stack.sql('select is_enabled from public.feature_values where community_id = $1 and deleted_at is null', [home])).toEqual([{ is_enabled: true }]);
  });
});

describe('a standalone installation', () => {
  const makeOrganization = (slug: string): string => `select public.create_organization('Race', '${slug}', 'BG')`;
  const setMode = (mode: string): string => `select public.set_setting('general.mode', '"${mode}"')`;
  const live = async (): Promise<unknown> => (await stack.sql('select count(*)::int as live from public.organizations where deleted_at is null'))[0]?.live;

  /** Leaves a multi-tenant installation with so many live organizations, whatever leans on the others. */
  async function leave(organizations: number): Promise<void> {
    await stack.sql(setMode('multi_tenant'));
    await stack.adminSql(`
      set session_replication_role = replica;
      update public.communities set deleted_at = clock_timestamp() where deleted_at is null;
      update public.organizations set deleted_at = clock_timestamp() where deleted_at is null;
      set session_replication_role = origin`);
    for (let number = 0; number < organizations; number++) await stack.sql(makeOrganization(`left-${number}`));
  }

  test('one makes a second organization, the other sets standalone mode: the mode is refused', async () => {
    await leave(1);
    expect(await race(makeOrganization('race-1'), setMode('standalone'))).toBe('several_tenants');
    expect(await live()).toBe(2);
  });

  test('one sets standalone mode, the other makes a second organization: the organization is refused', async () => {
    await leave(1);
    expect(await race(setMode('standalone'), makeOrganization('race-2'))).toBe('standalone_mode');
    expect(await live()).toBe(1);
  });

  test('both make its first organization: one is refused', async () => {
    await leave(0);
    await stack.sql(setMode('standalone'));
    expect(await race(makeOrganization('race-3'), makeOrganization('race-4'))).toBe('standalone_mode');
    expect(await live()).toBe(1);
  });

  test('a snapshot from before the switch does not get past it', async () => {
    await leave(1);
    const old = new pg.Client({ connectionString: stack.databaseUrl });
    await old.connect();
    await old.query('begin isolation level repeatable read');
    await old.query('select count(*) from public.organizations');
    await stack.sql(setMode('standalone'));
    await expect(old.query(makeOrganization('race-5'))).rejects.toMatchObject({ code: '40001' });
    await old.end();
    expect(await live()).toBe(1);
  });

  test('the mode is not changed from such a snapshot either', async () => {
    await leave(1);
    const old = new pg.Client({ connectionString: stack.databaseUrl });
    await old.connect();
    await old.query('begin isolation level repeatable read');
    await expect(old.query(setMode('standalone'))).rejects.toMatchObject({ code: 'PT409', message: 'isolation_refused' });
    await old.end();
  });
});
