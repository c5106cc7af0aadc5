import { execFileSync } from "node:child_process";
import { accessSync, constants, existsSync } from "node:fs";

export function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** As root on Debian or Ubuntu. */
export function canInstall(): boolean {
  return process.getuid?.() === 0 && existsSync("/etc/debian_version") && isProgram("/usr/bin/apt-get");
}

/** Without starting the services that they bring. Test processes that install at once wait for each other. */
export function installPackages(packages: readonly string[]): void {
  process.stderr.write(`installing ${packages.join(" and ")} for the tests (apt-get)\n`);
  execFileSync(
    "/usr/bin/flock",
    ["/var/lib/dpkg/tollgate-tests", "/bin/sh", "-c", INSTALL, "sh", ...packages],
    {
      env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" },
      // Its own output goes where ours goes, so that a failure explains itself; stdout is the test report's.
      stdio: ["ignore", 2, 2],
    },
  );
}

/** Debian asks policy-rc.d before a package starts its service; 101 is "no". Only its absence is ours to fill. */
const INSTALL = `
set -e
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  trap 'rm -f "$policy"' EXIT
  printf '#!/bin/sh\\nexit 101\\n' > "$policy"
  chmod 755 "$policy"
fi
apt-get -q -o DPkg::Lock::Timeout=300 update
apt-get -q -o DPkg::Lock::Timeout=300 install -y --no-install-recommends "$@"
`;
