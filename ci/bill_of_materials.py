#!/usr/bin/env python3
"""Writes what is in the binaries: a CycloneDX list of their crates and libraries, and the texts of the licences.

Usage: ci/bill_of_materials.py LIST.json LICENCES.txt --target TARGET… [--library NAME VERSION LICENCE TEXT]…
Crates that only build a binary, test it, or belong to other targets are left out. A library is what is linked and no crate,
with the file that has the text of its licence. The same commit gives the same bytes, with SOURCE_DATE_EPOCH set. Needs
Python 3.11.
"""

import argparse
import datetime
import json
import os
import pathlib
import re
import subprocess
import tomllib

LICENCE = re.compile(r"(un)?licen[sc]e|copying|copyright|notice", re.IGNORECASE)


def cargo(*arguments):
    return subprocess.run(["cargo", *arguments, "--locked"], check=True, stdout=subprocess.PIPE, text=True).stdout


def component(kind, name, version, licence, registry="cargo"):
    # Older manifests write a slash, which SPDX does not know.
    licence = re.sub(r"\s*/\s*", " OR ", licence)
    purl = f"pkg:{registry}/{name}@{version}"
    return {"type": kind, "bom-ref": purl, "name": name, "version": version, "purl": purl,
            "licenses": [{"expression": licence}]}


def texts(crate):
    """Its licences, also those of C sources that it brings."""
    for path in sorted(crate.rglob("*")):
        if LICENCE.match(path.name) and path.is_file() and path.suffix in ("", ".md", ".txt"):
            yield path.read_text(encoding="utf-8", errors="replace").strip()


parser = argparse.ArgumentParser()
parser.add_argument("list", type=pathlib.Path)
parser.add_argument("licences", type=pathlib.Path)
parser.add_argument("--target", action="append", required=True)
parser.add_argument("--library", action="append", nargs=4, default=[])
asked = parser.parse_args()
tree = cargo("tree", "--edges", "normal,no-proc-macro", *(f"--target={target}" for target in asked.target),
             "--prefix", "none", "--no-dedupe", "--format", "{p}\t{l}")
# The package itself stands first.
(root, *crates) = dict.fromkeys(tuple(re.match(r"(\S+) v(\S+).*\t(.*)", line).groups()) for line in tree.split("\n") if line)
crates.sort()
with open("Cargo.lock", "rb") as lock:
    checksums = {(package["name"], package["version"]): package.get("checksum") for package in tomllib.load(lock)["package"]}
places = {(package["name"], package["version"]): pathlib.Path(package["manifest_path"]).parent
          for package in json.loads(cargo("metadata", "--format-version", "1"))["packages"]}

components = []
users = {}
for name, version, licence in crates:
    found = component("library", name, version, licence)
    found["hashes"] = [{"alg": "SHA-256", "content": checksums[name, version]}]
    components.append(found)
    for text in dict.fromkeys(texts(places[name, version])) or [f"(no text in the crate; it says: {licence})"]:
        users.setdefault(text, []).append(f"{name} {version}")
for name, version, licence, text in asked.library:
    components.append(component("library", name, version, licence, registry="generic"))
    users.setdefault(pathlib.Path(text).read_text(encoding="utf-8").strip(), []).append(f"{name} {version}")

when = datetime.datetime.fromtimestamp(int(os.environ["SOURCE_DATE_EPOCH"]), datetime.timezone.utc)
bom = {
    "bomFormat": "CycloneDX",
    "specVersion": "1.6",
    "version": 1,
    "metadata": {"timestamp": when.strftime("%Y-%m-%dT%H:%M:%SZ"), "component": component("application", *root)},
    "components": components,
}
asked.list.write_text(json.dumps(bom, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
rule = "=" * 100
parts = [f"{rule}\n{', '.join(names)}\n{rule}\n\n{text}\n" for text, names in users.items()]
asked.licences.write_text("\n".join(parts), encoding="utf-8")
