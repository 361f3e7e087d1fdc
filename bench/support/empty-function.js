// An edge function that does nothing: what every function costs.
Deno.serve(() => new Response());
