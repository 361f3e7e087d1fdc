import type { ContentfulStatusCode } from 'hono/utils/http-status';

/** An error as Supabase Auth answers it: `{ code, error_code, msg }`. */
export class AuthError extends Error {
  override readonly name = 'AuthError';

  constructor(
    readonly status: ContentfulStatusCode,
    readonly code: string,
    message: string,
  ) {
    super(message);
  }

  toJSON() {
    return { code: this.status, error_code: this.code, msg: this.message };
  }
}

/** What the local stack does not have, in one sentence that says where it can be had. Not a 501: supabase-js would retry. */
export function notInLocalStack(what: string): AuthError {
  return new AuthError(
    422,
    'not_implemented',
    `${what} is not part of the local stack. Try it with \`npx supabase start\` or on a hosted project.`,
  );
}
