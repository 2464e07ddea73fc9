"""What builds, tests and publishes: actions pinned by commit, few permissions, commands that exist; and the scan for secrets."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))


def steps(workflow):
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_is_pinned_and_may_do_little(path):
    text = path.read_text()
    workflow = yaml.safe_load(text)
    used = re.findall(r"uses: (.*)", text)
    assert used and all(re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", use) for use in used), used
    assert workflow["permissions"] == {"contents": "read"}
    # `on` is a truth value to YAML 1.1.
    assert "pull_request_target" not in workflow[True]
    for step in steps(workflow):
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False
        # What somebody else chooses reaches a shell through its environment only.
        assert "${{" not in step.get("run", ""), step


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_runs_commands_that_there_are(path):
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    for step in steps(yaml.safe_load(path.read_text())):
        for target in re.findall(r"\bmake ([a-z-]+)", step.get("run", "")):
            assert target in targets
        for script in re.findall(r"(?<!\S)\.ci/[a-z-]+", step.get("run", "")):
            assert (ROOT / script).exists()


def test_only_what_publishes_may_say_who_built_it():
    publish = yaml.safe_load((ROOT / ".github/workflows/publish.yml").read_text())
    [job] = publish["jobs"].values()
    assert job["permissions"] == {"contents": "read", "id-token": "write", "attestations": "write"}
    assert job["environment"] == "release"
    runs = [step.get("run", "") for step in job["steps"]]
    at = lambda part: next(number for number, run in enumerate(runs) if part in run)
    assert at(".ci/run") < at("make push") < at("make sign")


def test_the_update_bot_looks_at_everything_that_is_pinned():
    updates = yaml.safe_load((ROOT / ".github/dependabot.yml").read_text())["updates"]
    watched = {(entry["package-ecosystem"], entry["directory"].removeprefix("/")) for entry in updates}
    listed = subprocess.check_output(["git", "ls-files"], cwd=ROOT, text=True).splitlines()
    pinned = {"Cargo.lock": "cargo", "requirements.txt": "pip", "package-lock.json": "npm"}
    needed = {(pinned[Path(name).name], name.rpartition("/")[0]) for name in listed if Path(name).name in pinned}
    assert watched == needed | {("github-actions", "")}


def test_a_build_with_a_feature_that_there_is_not_says_which_there_are():
    for asked in ("schemas", "schema encryptio", "schema,default", "--help"):
        made = subprocess.run([ROOT / ".ci/module", asked, "/dev/null"], capture_output=True, text=True, check=False)
        assert made.returncode == 2
        assert made.stderr.endswith("there are: everything bodies schema sanitize encryption projection signatures\n")


@pytest.mark.parametrize("secret", [
    "AKIA" + "ABCDEFGHIJKLMNOP", "ghp_" + "a1" * 18, "glpat-" + "a1" * 10, "xoxb-" + "1" * 24, "AIza" + "b" * 35,
    "npm_" + "a1" * 18, "hvs." + "c" * 24, "-----BEGIN EC " + "PRIVATE KEY-----", "postgres://ann:" + "correct-horse@db/x",
    "https://static." + "crates.io/x", "see /" + "home/ann/notes",
])
def test_what_no_file_may_hold_is_found(secret, tmp_path):
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci/words", tmp_path / ".ci")
    git = lambda *arguments: subprocess.run(["git", *arguments], cwd=tmp_path, check=True, capture_output=True)
    scan = lambda: subprocess.run([tmp_path / ".ci/words"], capture_output=True, text=True, check=False)
    git("init", "--quiet")
    (tmp_path / "settings.yaml").write_text("a: good\n")
    git("add", "settings.yaml")
    assert scan().returncode == 0
    (tmp_path / "settings.yaml").write_text(f"a: {secret}\n")
    found = scan()
    assert found.returncode == 1 and "settings.yaml" in found.stderr
