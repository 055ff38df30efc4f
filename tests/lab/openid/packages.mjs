// Packages from npm. They lie outside the checkout, in the folder that
// HEPH_LAB_MODULES names (prepare.sh fills it), where `import` does not look.
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const folder = process.env.HEPH_LAB_MODULES;
if (!folder) {
  console.error('HEPH_LAB_MODULES is not set: start this through a script in tests/lab');
  process.exit(2);
}
const require = createRequire(`${folder}/package.json`);

export const load = (name) => import(pathToFileURL(require.resolve(name)));
