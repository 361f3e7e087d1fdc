import { BaseSequencer, type TestSpecification } from 'vitest/node';

// What takes longest, longest first; the others follow in the order that Vitest knows.
const longest = ['attack-matrix', 'import', 'stack/start', 'tests/lint', 'docs', 'statements', 'stack/migrations', 'migrations', 'generated', 'privacy-registry', 'search', 'money-privacy', 'decisions'];

/** Begins with the files that take longest, so that no core waits for one of them at the end. */
export class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ moduleId }: TestSpecification) => {
      const place = longest.findIndex((name) => moduleId.endsWith(`${name}.test.ts`));
      return place === -1 ? longest.length : place;
    };
    return (await super.sort(files)).sort((a, b) => rank(a) - rank(b));
  }
}
