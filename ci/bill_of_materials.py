#!/usr/bin/env python3
"""Writes what is in the binary: a CycloneDX list of its crates, and the texts of their licences.

Usage: ci/bill_of_materials.py TARGET LIST.json LICENCES.txt
Crates that only build it, test it, or belong to other targets are left out. The same commit gives the same bytes, with
SOURCE_DATE_EPOCH set. Needs Python 3.11.
"""

import datetime
import json
import os
import pathlib
import re
import subprocess
import sys
import tomllib

LICENCE = re.compile(r"(un)?licen[sc]e|copying|copyright|notice", re.IGNORECASE)


def cargo(*arguments):
    return subprocess.run(["cargo", *arguments, "--locked"], check=True, stdout=subprocess.PIPE, text=True).stdout


def component(kind, name, version, licence):
    # Older manifests write a slash, which SPDX does not know.
    licence = re.sub(r"\s*/\s*", " OR ", licence)
    purl = f"pkg:cargo/{name}@{version}"
    return {"type": kind, "bom-ref": purl, "name": name, "version": version, "purl": purl,
            "licenses": [{"expression": licence}]}


def texts(crate):
    """Its licences, also those of C sources that it brings."""
    for path in sorted(crate.rglob("*")):
        if LICENCE.match(path.name) and path.is_file() and path.suffix in ("", ".md", ".txt"):
            yield path.read_text(encoding="utf-8", errors="replace").strip()


target, list_path, licences_path = sys.argv[1:]
tree = cargo("tree", "--edges", "normal,no-proc-macro", "--target", target, "--prefix", "none", "--no-dedupe",
             "--format", "{p}\t{l}")
# The package itself stands first.
(root, *crates) = dict.fromkeys(tuple(re.match(r"(\S+) v(\S+).*\t(.*)", line).groups()) for line in tree.splitlines())
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

when = datetime.datetime.fromtimestamp(int(os.environ["SOURCE_DATE_EPOCH"]), datetime.timezone.utc)
bom = {
    "bomFormat": "CycloneDX",
    "specVersion": "1.6",
    "version": 1,
    "metadata": {"timestamp": when.strftime("%Y-%m-%dT%H:%M:%SZ"), "component": component("application", *root)},
    "components": components,
}
pathlib.Path(list_path).write_text(json.dumps(bom, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
rule = "=" * 100
parts = [f"{rule}\n{', '.join(names)}\n{rule}\n\n{text}\n" for text, names in users.items()]
pathlib.Path(licences_path).write_text("\n".join(parts), encoding="utf-8")
