import type { Catalog, Func, Migration, Relation } from './catalog.ts';

/** A migration as the reference names it. */
export type Topic = { migration: Migration; file: string; domain: string; title: string };

/** An event that some function emits; one that ends in `.*` stands for several, which the function's comment names. */
export type EventTopic = { topic: string; emitter: Func };

/** What belongs to a domain: everything that its migrations made or declared. */
export type Domain = {
  name: string;
  topics: Topic[];
  tables: Relation[];
  views: Relation[];
  rpcs: Func[];
  helpers: Func[];
  enums: Catalog['enums'];
  permissions: Catalog['permissions'];
  settings: Catalog['settings'];
  features: Catalog['features'];
  filePurposes: Catalog['filePurposes'];
  jobs: Catalog['jobs'];
  consumers: Catalog['consumers'];
  events: EventTopic[];
};

/** Where things come from: the migration whose SQL makes or declares them. */
export type Origins = { relation(relation: Relation): Topic; func(func: Func): Topic };

/**
 * Sorts what a catalog holds by domain, the first word of a migration's name: `20260101000500_foundation_roles` is of
 * `foundation`. A thing belongs to the migration whose SQL makes it; what a later one only alters stays where it was.
 */
export function sortByDomain(catalog: Catalog): { domains: Domain[]; origins: Origins } {
  const topics = catalog.migrations.map(
    (migration): Topic => ({
      migration,
      file: `${migration.version}_${migration.name}.sql`,
      domain: migration.name.split('_')[0]!,
      title: /^-- (.+)$/m.exec(migration.sql)?.[1] ?? migration.name,
    }),
  );
  // Every domain asks for everything: each thing is looked for once.
  const known = new Map<string, Topic>();
  const originOf = (what: string, pattern: RegExp): Topic => {
    const topic = known.get(pattern.source) ?? topics.find(({ migration }) => pattern.test(migration.sql));
    if (topic === undefined) throw new Error(`No migration makes ${what}: docs/schema tells of what migrations make.`);
    known.set(pattern.source, topic);
    return topic;
  };
  const made = (kind: string, schema: string, name: string): Topic =>
    originOf(`${schema}.${name}`, new RegExp(`^\\s*create (?:or replace )?(?:${kind}) (?:if not exists )?${optionalSchema(schema)}${escaped(name)}(?![a-z0-9_])`, 'im'));
  const declared = (by: string, key: string): Topic => originOf(key, new RegExp(`(?:${by})[^;]*'${escaped(key)}'`));

  const origins: Origins = {
    relation: ({ schema, name, kind }) => made(kind === 'view' ? 'view|materialized view' : 'table', schema, name),
    func: ({ schema, name }) => made('function', schema, name),
  };
  const domains = [...new Set(topics.map(({ domain }) => domain))].map((name): Domain => {
    const here = <T>(things: T[], origin: (thing: T) => Topic): T[] => things.filter((thing) => origin(thing).domain === name);
    // Some trigger functions are written by other functions (app.guard_archiving); tables name them, no list does.
    const functions = here(catalog.functions.filter(({ is_trigger }) => !is_trigger), origins.func);
    const emitters = here(catalog.functions.filter((one) => eventsOf(one).length > 0), origins.func);
    return {
      name,
      topics: topics.filter(({ domain }) => domain === name),
      tables: here(catalog.relations.filter(({ kind }) => kind === 'table'), origins.relation),
      views: here(catalog.relations.filter(({ kind }) => kind === 'view'), origins.relation),
      rpcs: functions.filter(({ schema }) => schema === 'public'),
      helpers: functions.filter(({ schema }) => schema !== 'public'),
      enums: here(catalog.enums, (type) => made('type', ...splitName(type.name))),
      permissions: here(catalog.permissions, ({ key }) => declared('define_permission', key)),
      settings: here(catalog.settings, ({ key }) => declared('define_setting', key)),
      features: here(catalog.features, ({ key }) => declared('define_feature', key)),
      filePurposes: here(catalog.filePurposes, ({ key }) => declared('define_file_purpose', key)),
      jobs: here(catalog.jobs, ({ name: job }) => declared('app\\.scheduled_jobs', job)),
      consumers: here(catalog.consumers, ({ name: consumer }) => declared('app\\.outbox_consumers', consumer)),
      events: emitters.flatMap(eventsOf).sort((one, other) => (one.topic < other.topic ? -1 : 1)),
    };
  });
  return { domains, origins };
}

/** `schema.name` in its two parts. */
export function splitName(qualified: string): [schema: string, name: string] {
  const [schema, name] = qualified.split('.');
  return [schema!, name!];
}

function eventsOf(emitter: Func): EventTopic[] {
  const found = new Set<string>();
  for (const call of emitter.source.matchAll(/\bapp\.emit\(/g)) {
    const argument = firstArgument(emitter.source.slice(call.index + call[0].length));
    for (const [, literal] of argument.matchAll(/'([a-z_]+\.[a-z_.]*)'/g)) found.add(literal!.endsWith('.') ? `${literal}*` : literal!);
  }
  return [...found].map((topic) => ({ topic, emitter }));
}

/** The text up to the comma that ends a call's first argument. */
function firstArgument(text: string): string {
  let depth = 0;
  for (let at = 0; at < text.length; at += 1) {
    if (text[at] === '(') depth += 1;
    else if (text[at] === ')') depth -= 1;
    if (depth < 0 || (depth === 0 && text[at] === ',')) return text.slice(0, at);
  }
  return text;
}

const optionalSchema = (schema: string) => (schema === 'public' ? '(?:public\\.)?' : `${escaped(schema)}\\.`);

const escaped = (text: string) => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
