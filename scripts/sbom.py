#!/usr/bin/env python3
"""The software bill of materials of a binary of updo: what is linked into it, as CycloneDX 1.5 (JSON).

    cargo metadata --locked --format-version 1 --filter-platform TARGET | scripts/sbom.py TARGET EPOCH CARGO_LOCK

Packages that only tests or builds need are not in it. The same sources give the same bytes.
"""

import json
import sys
import uuid
from datetime import datetime, timezone


def checksums(path):
    """The SHA-256 of each package's archive, from Cargo.lock."""
    found, entry = {}, {}
    for line in open(path, encoding="utf-8"):
        line = line.strip()
        if line == "[[package]]":
            entry = {}
        elif " = " in line:
            key, value = line.split(" = ", 1)
            entry[key] = value.strip('"')
            if key == "checksum":
                found[entry["name"], entry["version"]] = entry["checksum"]
    return found


def main():
    target, epoch, lock = sys.argv[1:]
    metadata = json.load(sys.stdin)
    packages = {package["id"]: package for package in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    root = metadata["resolve"]["root"]
    sums = checksums(lock)

    def linked(node):
        """What of a package's dependencies ends in the binary: neither tests nor what a build runs."""
        for dep in node["deps"]:
            package = packages[dep["pkg"]]
            kinds = {target["kind"][0] for target in package["targets"]}
            if "proc-macro" not in kinds and any(kind["kind"] is None for kind in dep["dep_kinds"]):
                yield dep["pkg"]

    def ref(package):
        return f"pkg:cargo/{package['name']}@{package['version']}"

    def component(package, kind):
        made = {
            "type": kind,
            "bom-ref": ref(package),
            "name": package["name"],
            "version": package["version"],
            "purl": ref(package),
        }
        if package.get("description"):
            made["description"] = " ".join(package["description"].split())
        if package.get("license"):
            # Old packages write `/` for `or`.
            words = package["license"].replace("/", " OR ")
            made["licenses"] = [{"expression": " ".join(words.split())}]
        checksum = sums.get((package["name"], package["version"]))
        if checksum:
            made["hashes"] = [{"alg": "SHA-256", "content": checksum}]
        return made

    seen, todo = {root}, [root]
    while todo:
        for other in linked(nodes[todo.pop()]):
            if other not in seen:
                seen.add(other)
                todo.append(other)
    ordered = sorted(seen, key=lambda name: ref(packages[name]))
    written = datetime.fromtimestamp(int(epoch), timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    components = [component(packages[name], "library") for name in ordered if name != root]
    identity = json.dumps([target, epoch, components], sort_keys=True)
    bom = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, identity)}",
        "version": 1,
        "metadata": {
            "timestamp": written,
            "component": component(packages[root], "application"),
            "properties": [{"name": "updo:target", "value": target}],
        },
        "components": components,
        "dependencies": [
            {"ref": ref(packages[name]), "dependsOn": sorted({ref(packages[dep]) for dep in linked(nodes[name])})}
            for name in ordered
        ],
    }
    json.dump(bom, sys.stdout, indent=1, ensure_ascii=False)
    print()


main()
