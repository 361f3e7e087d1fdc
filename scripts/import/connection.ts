import { createClient } from '@supabase/supabase-js';
import WebSocket from 'ws';
import type { Database } from '../../types/supabase.ts';
import { whoRuns } from '../stack/installation.ts';
import { loadOrCreateKeys } from '../stack/keys.ts';
import { home, ports } from '../stack/paths.ts';
import { parseBalancesReport, parseReport, type BalancesReport, type RosterReport } from './report.ts';
import type { Roster } from './roster-file.ts';
import { printable } from './table.ts';

export type ConnectionOptions = {
  /** The project's URL; the installation on this machine by default. */
  url?: string;
  /** A secret key, or a publishable one to sign in with; this installation's by default. */
  key?: string;
  email?: string;
  password?: string;
};

/** Who could not be reached, signed in or allowed: what stands between a file and its community. */
export class ConnectionProblem extends Error {
  override name = 'ConnectionProblem';
  constructor(message: string) {
    super(printable(message));
  }
}

/** A community that a roster can be brought into. */
export type Community = { id: string; name: string };

export type ImportOptions = { mapping?: Record<string, string | null>; dateOrder?: string; dryRun: boolean };
export type BalancesOptions = { mapping?: Record<string, string | null>; openedOn?: string; dryRun: boolean };

export type RosterApi = {
  /** The community of this slug. */
  community(slug: string): Promise<Community>;
  /** Checks a roster, or stores it. A roster that is refused is an answer, not an error. */
  importRoster(community: Community, roster: Roster, options: ImportOptions): Promise<RosterReport>;
  /** Checks opening balances, or posts them, likewise. */
  importBalances(community: Community, list: Roster, options: BalancesOptions): Promise<BalancesReport>;
};

type ClientOptions = NonNullable<Parameters<typeof createClient>[2]>;

/**
 * Connects to the installation on this machine with its secret key, or to any other project, as a user or with a key.
 *
 * @throws {ConnectionProblem} when nothing answers, or the user cannot sign in
 */
export async function connect(options: ConnectionOptions): Promise<RosterApi> {
  const { url, key } = await findProject(options);
  const client = createClient<Database>(url, key, {
    auth: { persistSession: false, autoRefreshToken: false, detectSessionInUrl: false },
    // Node 20 has no WebSocket of its own, and ws describes its events in other types than the browser's.
    realtime: { transport: WebSocket } as unknown as NonNullable<ClientOptions['realtime']>,
  });
  if (options.email !== undefined) {
    const { error } = await client.auth.signInWithPassword({ email: options.email, password: options.password ?? '' });
    if (error) throw isUnreachable(error) ? unreachable(url, options) : new ConnectionProblem(`${options.email} cannot sign in: ${error.message}.`);
  }
  return {
    async community(slug) {
      const { data, error } = await client.from('communities').select('id, name').eq('slug', slug).is('deleted_at', null).maybeSingle();
      if (error) throw isUnreachable(error) ? unreachable(url, options) : new ConnectionProblem(describe(error));
      if (data) return data;
      const { data: others } = await client.from('communities').select('slug').is('deleted_at', null).order('slug').limit(20);
      const known = (others ?? []).map((other) => other.slug).join(', ');
      throw new ConnectionProblem(`There is no community ${slug}${options.email === undefined ? '' : ` that ${options.email} may see`}.${known ? ` There are: ${known}.` : ''}`);
    },
    async importRoster(community, roster, { mapping, dateOrder, dryRun }) {
      const { data, error } = await client.rpc('import_roster', {
        community_id: community.id,
        headers: roster.headers,
        rows: roster.rows,
        first_row: roster.firstRow,
        dry_run: dryRun,
        ...(mapping && { mapping }),
        ...(dateOrder !== undefined && { date_order: dateOrder }),
      });
      if (!error) return parseReport(data);
      if (error.message === 'roster_refused') return parseReport(error.details);
      throw isUnreachable(error) ? unreachable(url, options) : new ConnectionProblem(describe(error));
    },
    async importBalances(community, list, { mapping, openedOn, dryRun }) {
      const { data, error } = await client.rpc('import_opening_balances', {
        community_id: community.id,
        headers: list.headers,
        rows: list.rows,
        first_row: list.firstRow,
        dry_run: dryRun,
        ...(mapping && { mapping }),
        ...(openedOn !== undefined && { opened_on: openedOn }),
      });
      if (!error) return parseBalancesReport(data);
      if (error.message === 'balances_refused') return parseBalancesReport(error.details);
      throw isUnreachable(error) ? unreachable(url, options) : new ConnectionProblem(describe(error));
    },
  };
}

async function findProject({ url, key, email }: ConnectionOptions): Promise<{ url: string; key: string }> {
  if (url !== undefined && key === undefined) throw new ConnectionProblem('A project of your own needs --key as well: its secret key, or its publishable key with --email and --password.');
  if (key !== undefined) return { url: url ?? `http://127.0.0.1:${ports.api}`, key };
  const folder = home();
  if (!folder.exists()) throw new ConnectionProblem('Nothing is installed here yet: run `npm start` first, or name a project with --url and --key.');
  const keys = loadOrCreateKeys(folder);
  return { url: whoRuns(folder)?.url ?? `http://127.0.0.1:${ports.api}`, key: email === undefined ? keys.secret : keys.publishable };
}

type ApiError = { message: string; details?: string | null; hint?: string | null; code?: string | undefined };

function isUnreachable({ message }: ApiError): boolean {
  return /fetch failed|ECONNREFUSED|ENOTFOUND/.test(message);
}

function unreachable(url: string, options: ConnectionOptions): ConnectionProblem {
  return new ConnectionProblem(options.url === undefined ? `Nothing answers at ${url}: run \`npm start\` first, in another terminal.` : `Nothing answers at ${url}.`);
}

function describe({ message, details, hint, code }: ApiError): string {
  return [details || message, hint, `(${[message, code].filter(Boolean).join(', ')})`].filter(Boolean).join(' ');
}
