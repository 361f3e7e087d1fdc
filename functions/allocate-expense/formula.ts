import { type AnyNode, type Expression, parse } from "acorn";
import { Decimal as AnyDecimal } from "decimal.js";
import { ApiError } from "../_shared/errors.ts";

/** 28 significant digits, of which no weight needs more than 24; rounding as on paper. */
const Decimal = AnyDecimal.clone({ precision: 28, rounding: AnyDecimal.ROUND_HALF_UP, toExpNeg: -30, toExpPos: 30 });
type Decimal = AnyDecimal;

/** What a formula may cost, whoever wrote it. There are no loops, so these bound everything. */
export const limits = {
  characters: 2000,
  /** Of parentheses, and of the tree. */
  depth: 60,
  nodes: 500,
  /** The greatest number a step may come to, and the least one below zero. */
  magnitude: 1e15,
  exponent: 10,
  /** Of a result. */
  decimals: 9,
  /** Of all units together. */
  milliseconds: 5000,
} as const;

/** A unit, and what is known of it: null where nobody knows. */
export type Unit = { id: string; number: string; inputs: Readonly<Record<string, number | null>> };

/** A formula that was found to be one. */
export type Formula = {
  /**
   * What it comes to for a unit: finite, not negative, of at most nine decimals.
   *
   * @throws {ApiError} 422 `formula_failed`, `formula_invalid`, `allocation_input_missing`
   */
  evaluate(unit: Unit, options: { isMissingZero: boolean }): string;
};

type Scope = { unit: Unit; isMissingZero: boolean };
type Step = (scope: Scope) => Decimal;

/** What the language consists of: digits, names and operators. No quote, bracket, brace, semicolon or backslash gets past here. */
const alphabet = /[^A-Za-z0-9_ \t\r\n.,+\-*/%()<>=!?:&|]/;

const one = new Decimal(1);
const nothing = new Decimal(0);
const truth = (holds: boolean): Decimal => holds ? one : nothing;

const binary: ReadonlyMap<string, (left: Decimal, right: Decimal) => Decimal> = new Map([
  ["+", (left, right) => left.plus(right)],
  ["-", (left, right) => left.minus(right)],
  ["*", (left, right) => left.times(right)],
  ["<", (left, right) => truth(left.lt(right))],
  ["<=", (left, right) => truth(left.lte(right))],
  [">", (left, right) => truth(left.gt(right))],
  [">=", (left, right) => truth(left.gte(right))],
  ["==", (left, right) => truth(left.eq(right))],
  ["!=", (left, right) => truth(!left.eq(right))],
]);

const functions: ReadonlyMap<string, { least: number; most: number; call: (values: Decimal[]) => Decimal }> = new Map([
  ["min", { least: 1, most: 20, call: (values: Decimal[]) => Decimal.min(...values) }],
  ["max", { least: 1, most: 20, call: (values: Decimal[]) => Decimal.max(...values) }],
  ["abs", { least: 1, most: 1, call: ([value = nothing]: Decimal[]) => value.abs() }],
  ["floor", { least: 1, most: 1, call: ([value = nothing]: Decimal[]) => value.floor() }],
  ["ceil", { least: 1, most: 1, call: ([value = nothing]: Decimal[]) => value.ceil() }],
  ["round", { least: 1, most: 1, call: ([value = nothing]: Decimal[]) => value.toDecimalPlaces(0) }],
]);

/**
 * A formula: numbers (`0.5`), what is known of a unit (`area`, `floor`, `is_shop`, `meter_water_cold`), `+ - * / % **`, comparisons,
 * `&& || !`, `condition ? this : that`, and min, max, round, floor, ceil, abs. True is 1 and false is 0. Arithmetic is decimal.
 *
 * The text is parsed as JavaScript, none of which runs: what is not on the list above is refused, and what is left is done here.
 *
 * @throws {ApiError} 422 `formula_invalid` or `formula_too_complex`, which tell where
 */
export function compile(text: string): Formula {
  if (text.length > limits.characters) {
    throw tooComplex(`It has ${text.length} characters, ${limits.characters} at most.`);
  }
  const stranger = alphabet.exec(text);
  if (stranger) throw invalid(stranger.index, `“${stranger[0]}” has no place in a formula.`);
  let open = 0;
  for (const character of text) {
    open += character === "(" ? 1 : character === ")" ? -1 : 0;
    if (open > limits.depth) throw tooComplex(`Parentheses are nested more than ${limits.depth} deep.`);
  }

  let nodes = 0;
  return { evaluate: evaluator(step(parsed(text), 0)) };

  /** One node of the tree, as what it does. Nothing is looked up by a name that the formula chose but in the maps above and the inputs. */
  function step(node: Expression | AnyNode, depth: number): Step {
    nodes += 1;
    if (nodes > limits.nodes) throw tooComplex(`It has more than ${limits.nodes} parts.`);
    if (depth > limits.depth) throw tooComplex(`It is nested more than ${limits.depth} deep.`);
    const at = node.start;
    switch (node.type) {
      case "Literal": {
        if (typeof node.value !== "number" || !/^(\d+(\.\d+)?|\.\d+)$/.test(node.raw ?? "")) {
          throw invalid(at, "A number is written 12 or 0.5.");
        }
        const value = bounded(new Decimal(node.raw ?? ""), at);
        return () => value;
      }
      case "Identifier": {
        const { name } = node;
        return ({ unit, isMissingZero }) => {
          if (!Object.hasOwn(unit.inputs, name)) {
            throw invalid(at, `Nothing that is known of a unit is called “${name}”.`);
          }
          const value = unit.inputs[name] ?? null;
          if (value === null && !isMissingZero) {
            throw new ApiError(
              422,
              "allocation_input_missing",
              `${name} of unit ${unit.number} is not known.`,
              "Enter it, leave the unit out of the key, or let the key count it as zero (is_missing_zero).",
            );
          }
          return new Decimal(value ?? 0);
        };
      }
      case "UnaryExpression": {
        const argument = step(node.argument, depth + 1);
        if (node.operator === "-") return (scope) => argument(scope).neg();
        if (node.operator === "+") return argument;
        if (node.operator === "!") return (scope) => truth(argument(scope).isZero());
        throw invalid(at, `“${node.operator}” has no place in a formula.`);
      }
      case "BinaryExpression": {
        if (node.left.type === "PrivateIdentifier") throw invalid(at, "This is no value.");
        const left = step(node.left, depth + 1);
        const right = step(node.right, depth + 1);
        const operate = binary.get(node.operator);
        if (operate) return (scope) => bounded(operate(left(scope), right(scope)), at, scope);
        if (node.operator === "/" || node.operator === "%") {
          return (scope) => {
            const divisor = right(scope);
            if (divisor.isZero()) throw failed(at, "something is divided by zero", scope);
            const dividend = left(scope);
            return bounded(node.operator === "/" ? dividend.div(divisor) : dividend.mod(divisor), at, scope);
          };
        }
        if (node.operator === "**") {
          return (scope) => {
            const exponent = right(scope);
            if (!exponent.isInteger() || exponent.lt(0) || exponent.gt(limits.exponent)) {
              throw failed(at, `an exponent is a whole number from 0 to ${limits.exponent}, not ${exponent}`, scope);
            }
            return bounded(left(scope).pow(exponent), at, scope);
          };
        }
        throw invalid(at, `“${node.operator}” has no place in a formula.`);
      }
      case "LogicalExpression": {
        const left = step(node.left, depth + 1);
        const right = step(node.right, depth + 1);
        if (node.operator === "&&") return (scope) => truth(!left(scope).isZero() && !right(scope).isZero());
        if (node.operator === "||") return (scope) => truth(!left(scope).isZero() || !right(scope).isZero());
        throw invalid(at, `“${node.operator}” has no place in a formula.`);
      }
      case "ConditionalExpression": {
        const [test, yes, no] = [node.test, node.consequent, node.alternate].map((part) => step(part, depth + 1));
        if (!test || !yes || !no) throw invalid(at, "A choice has three parts.");
        return (scope) => test(scope).isZero() ? no(scope) : yes(scope);
      }
      case "CallExpression": {
        const called = node.callee.type === "Identifier" ? functions.get(node.callee.name) : undefined;
        if (!called || node.optional) throw invalid(at, "What can be called is min, max, round, floor, ceil and abs.");
        if (node.arguments.length < called.least || node.arguments.length > called.most) {
          throw invalid(
            at,
            `It is given ${node.arguments.length} values, and takes ${
              called.most === 1 ? "one" : `up to ${called.most}`
            }.`,
          );
        }
        const values = node.arguments.map((argument) => step(argument, depth + 1));
        return (scope) => bounded(called.call(values.map((value) => value(scope))), at, scope);
      }
      default:
        throw invalid(at, "A formula consists of numbers, names, operators and functions.");
    }
  }
}

function parsed(text: string): Expression {
  try {
    const comments: number[] = [];
    const { body } = parse(text, {
      ecmaVersion: 2020,
      sourceType: "script",
      onComment: (_isBlock, _text, start) => void comments.push(start),
    });
    const [first, second] = body;
    if (comments[0] !== undefined) throw invalid(comments[0], "A formula has no comments.");
    if (second) throw invalid(second.start, "A formula is one expression.");
    if (first?.type !== "ExpressionStatement") throw invalid(first?.start ?? 0, "A formula is an expression.");
    return first.expression;
  } catch (error) {
    if (error instanceof ApiError) throw error;
    if (error instanceof RangeError) throw tooComplex("It is nested too deep.");
    if (error instanceof SyntaxError && "pos" in error && typeof error.pos === "number") {
      throw invalid(
        error.pos,
        error.pos >= text.length
          ? "It ends too early."
          : `“${text.slice(error.pos, error.pos + 20)}” is not expected here.`,
      );
    }
    throw error;
  }
}

function evaluator(step: Step): Formula["evaluate"] {
  return (unit, { isMissingZero }) => {
    const result = step({ unit, isMissingZero }).toDecimalPlaces(limits.decimals);
    if (result.isNegative() && !result.isZero()) {
      throw failed(0, `it comes to ${result}, below zero`, { unit, isMissingZero });
    }
    return result.isZero() ? "0" : result.toFixed();
  };
}

/** What all units count, in their order. */
export function evaluateAll(
  formula: Formula,
  units: readonly Unit[],
  options: { isMissingZero: boolean; now?: () => number },
): { unit_id: string; weight: string }[] {
  const { now = () => performance.now(), isMissingZero } = options;
  const until = now() + limits.milliseconds;
  return units.map((unit, place) => {
    if (place % 256 === 255 && now() > until) {
      throw tooComplex(`It takes more than ${limits.milliseconds / 1000} seconds for all units.`);
    }
    return { unit_id: unit.id, weight: formula.evaluate(unit, { isMissingZero }) };
  });
}

/** What weights sum to, exactly. */
export const totalOf = (weights: readonly { weight: string }[]): string =>
  weights.reduce((sum, { weight }) => sum.plus(weight), nothing).toFixed();

function bounded(value: Decimal, at: number, scope?: Scope): Decimal {
  if (value.isFinite() && value.abs().lte(limits.magnitude)) return value;
  throw scope ? failed(at, "a number becomes too large", scope) : invalid(at, "The number is too large.");
}

function invalid(at: number, reason: string): ApiError {
  return new ApiError(
    422,
    "formula_invalid",
    `At character ${at + 1}: ${reason}`,
    "See docs/allocation.md for what a formula consists of.",
  );
}

function tooComplex(reason: string): ApiError {
  return new ApiError(422, "formula_too_complex", reason, "Say it more simply.");
}

function failed(at: number, reason: string, { unit }: Scope): ApiError {
  return new ApiError(422, "formula_failed", `At character ${at + 1}, for unit ${unit.number}: ${reason}.`);
}
