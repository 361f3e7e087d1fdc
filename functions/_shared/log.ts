/** One line of JSON to the function's log. Names and numbers of the request belong here, data of people does not. */
export function log(
  level: "info" | "error",
  event: string,
  fields: Record<string, string | number | undefined> = {},
): void {
  const line = JSON.stringify({ level, event, ...fields });
  if (level === "error") console.error(line);
  else console.log(line);
}
