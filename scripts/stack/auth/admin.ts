import { type Context, Hono } from 'hono';
import { jwtVerify } from 'jose';
import { z } from 'zod';
import { bearerOf } from '../gateway/caller.ts';
import { AuthError, notInLocalStack } from './errors.ts';
import type { AuthMails, LinkType } from './mails.ts';
import { userNotFound, type UserRow, type Users } from './users.ts';

const metadata = z.record(z.string(), z.unknown());

const userAttributes = z.object({
  email: z.email({ error: 'Unable to validate email address: invalid format' }).optional(),
  phone: z.string().optional(),
  password: z.string().optional(),
  password_hash: z.string().optional(),
  email_confirm: z.boolean().optional(),
  phone_confirm: z.boolean().optional(),
  user_metadata: metadata.optional(),
  app_metadata: metadata.optional(),
  ban_duration: z.string().optional(),
  role: z.string().optional(),
});
const newUser = userAttributes.extend({ id: z.uuid().optional() });
const invitation = z.object({ email: z.email(), data: metadata.optional() });
const linkRequest = z.object({
  type: z.enum(['signup', 'invite', 'magiclink', 'recovery', 'email_change_current', 'email_change_new']),
  email: z.email(),
  password: z.string().optional(),
  new_email: z.email().optional(),
  data: metadata.optional(),
  redirect_to: z.string().optional(),
});

/**
 * Auth's admin API, which @supabase/lite lacks: users (create, list, get, update, ban, delete), invitations and links.
 * Mount it at /auth/v1.
 */
export function authAdmin(options: { users: Users; mails: AuthMails; jwtSecret: string }): Hono {
  const { users, mails } = options;
  const secret = new TextEncoder().encode(options.jwtSecret);
  const api = new Hono();

  const onlyAdministrators = async (c: Context, next: () => Promise<void>) => {
    const token = bearerOf(c);
    if (!token) throw new AuthError(401, 'no_authorization', 'This endpoint requires a valid Bearer token');
    const { payload } = await jwtVerify(token, secret, { algorithms: ['HS256'] }).catch(() => {
      throw new AuthError(401, 'bad_jwt', 'invalid JWT: unable to parse or verify signature');
    });
    if (payload.role !== 'service_role') throw new AuthError(403, 'not_admin', 'User not allowed');
    await next();
  };
  api.use('/admin/*', onlyAdministrators);
  api.use('/invite', onlyAdministrators);

  api.get('/admin/users', async (c) => {
    const page = positive(c.req.query('page'), 1);
    const perPage = positive(c.req.query('per_page'), 50);
    const { users: rows, total } = await users.list(page, perPage);
    const last = Math.max(1, Math.ceil(total / perPage));
    const linkTo = (target: number, rel: string) => `</admin/users?page=${target}&per_page=${perPage}>; rel="${rel}"`;
    c.header('x-total-count', String(total));
    c.header('link', [...(page < last ? [linkTo(page + 1, 'next')] : []), linkTo(last, 'last')].join(', '));
    return c.json({ users: await Promise.all(rows.map(users.present)), aud: 'authenticated' });
  });

  api.post('/admin/users', async (c) => {
    const { id, ...attributes } = await body(c, newUser);
    if (!attributes.email && !attributes.phone) {
      throw new AuthError(400, 'validation_failed', 'Cannot create a user without either an email or phone');
    }
    return c.json(await users.present(await users.create({ id, ...changesFrom(attributes) })));
  });

  api.get('/admin/users/:id', async (c) => c.json(await users.present(await existing(c.req.param('id')))));

  api.put('/admin/users/:id', async (c) => {
    const changes = changesFrom(await body(c, userAttributes));
    return c.json(await users.present(await users.update(c.req.param('id'), changes)));
  });

  api.delete('/admin/users/:id', async (c) => {
    const { should_soft_delete } = await body(c, z.object({ should_soft_delete: z.boolean().default(false) }));
    await users.remove(c.req.param('id'), should_soft_delete);
    return c.json({});
  });

  api.post('/invite', async (c) => {
    const { email, data } = await body(c, invitation);
    const user = await invitee(email, data);
    mails.send(email, 'invite', await users.issueToken(user, 'confirmation'), c.req.query('redirect_to'));
    return c.json(await users.present(await existing(user.id)));
  });

  api.post('/admin/generate_link', async (c) => {
    const request = await body(c, linkRequest);
    const { user, type, token } = await issueLink(request);
    const redirectTo = request.redirect_to ?? c.req.query('redirect_to');
    const actionLink = mails.link(type, token.hash, redirectTo);
    return c.json({
      ...(await users.present(await existing(user.id))),
      action_link: actionLink,
      email_otp: token.code,
      hashed_token: token.hash,
      redirect_to: new URL(actionLink).searchParams.get('redirect_to'),
      verification_type: request.type,
    });
  });

  api.all('/admin/*', () => {
    throw notInLocalStack('This part of the admin API');
  });

  return api;

  async function existing(id: string): Promise<UserRow> {
    const user = await users.findById(id);
    if (!user) throw userNotFound();
    return user;
  }

  /** The user an invitation goes to: a new one, or one who was invited before and has not come yet. */
  async function invitee(email: string, data: Record<string, unknown> | undefined): Promise<UserRow> {
    const known = await users.findByEmail(email);
    if (known?.confirmed_at) throw emailExists();
    return known ?? users.create({ email, userMetadata: data, invited: true });
  }

  async function issueLink(
    request: z.infer<typeof linkRequest>,
  ): Promise<{ user: UserRow; type: LinkType; token: { code: string; hash: string } }> {
    const { email, data } = request;
    const known = await users.findByEmail(email);
    switch (request.type) {
      case 'invite': {
        const user = await invitee(email, data);
        return { user, type: 'invite', token: await users.issueToken(user, 'confirmation') };
      }
      case 'signup': {
        if (known?.confirmed_at) throw emailExists();
        if (!request.password) throw new AuthError(400, 'validation_failed', 'Signup requires a valid password');
        const user = known ?? (await users.create({ email, password: request.password, userMetadata: data }));
        return { user, type: 'signup', token: await users.issueToken(user, 'confirmation') };
      }
      case 'magiclink': {
        const user = known ?? (await users.create({ email, userMetadata: data }));
        return { user, type: 'magiclink', token: await users.issueToken(user, 'recovery') };
      }
      case 'recovery': {
        if (!known) throw new AuthError(404, 'user_not_found', 'User with this email not found');
        return { user: known, type: 'recovery', token: await users.issueToken(known, 'recovery') };
      }
      case 'email_change_new': {
        if (!known) throw new AuthError(404, 'user_not_found', 'User with this email not found');
        if (!request.new_email) {
          throw new AuthError(400, 'validation_failed', 'An email_change link needs the new address in new_email');
        }
        return { user: known, type: 'email_change', token: await users.issueToken(known, 'email_change', request.new_email) };
      }
      case 'email_change_current':
        throw notInLocalStack('Confirming a change of address from the old one');
    }
  }
}

async function body<T extends z.ZodType>(c: Context, schema: T): Promise<z.output<T>> {
  const text = await c.req.text();
  let value: unknown;
  try {
    value = text === '' ? {} : JSON.parse(text);
  } catch (error) {
    throw new AuthError(400, 'bad_json', `Could not parse request body as JSON: ${(error as Error).message}`);
  }
  const parsed = schema.safeParse(value);
  if (!parsed.success) {
    throw new AuthError(
      400,
      'validation_failed',
      parsed.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`).join('; '),
    );
  }
  return parsed.data;
}

function changesFrom(attributes: z.infer<typeof userAttributes>) {
  return {
    email: attributes.email,
    phone: attributes.phone,
    password: attributes.password,
    passwordHash: attributes.password_hash,
    emailConfirmed: attributes.email_confirm,
    phoneConfirmed: attributes.phone_confirm,
    role: attributes.role,
    userMetadata: attributes.user_metadata,
    appMetadata: attributes.app_metadata,
    banFor: attributes.ban_duration === undefined ? undefined : milliseconds(attributes.ban_duration),
  };
}

/** The length of a duration as Go writes it (`1h30m`), or null for `none`. */
function milliseconds(duration: string): number | null {
  if (duration === 'none') return null;
  const units: Record<string, number> = { ns: 1e-6, us: 1e-3, µs: 1e-3, ms: 1, s: 1000, m: 60_000, h: 3_600_000 };
  const parts = [...duration.matchAll(/(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)/g)];
  if (parts.length === 0 || parts.map(([whole]) => whole).join('') !== duration) {
    throw new AuthError(
      400,
      'validation_failed',
      `invalid format for ban duration: time: invalid duration ${JSON.stringify(duration)}`,
    );
  }
  return parts.reduce((sum, [, amount, unit]) => sum + Number(amount) * (units[unit as string] as number), 0);
}

function positive(text: string | undefined, fallback: number): number {
  const number = Number(text);
  return Number.isInteger(number) && number > 0 ? number : fallback;
}

function emailExists(): AuthError {
  return new AuthError(422, 'email_exists', 'A user with this email address has already been registered');
}
