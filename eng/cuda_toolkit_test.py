# SPDX-License-Identifier: MIT
"""Tests which CUDA toolkit eng/cuda-toolkit.sh takes, and what it says of those it does not, with stand-ins for nvcc.
Nothing is fetched: of programs, the script sees only what is linked here, which does not include apt-get.

    python3 eng/cuda_toolkit_test.py
"""
import pathlib
import shutil
import subprocess
import tempfile
import unittest

SCRIPT = pathlib.Path(__file__).with_name("cuda-toolkit.sh")
PROGRAMS = ("bash", "dirname", "env", "mkdir", "readlink", "sed", "uname")
NOT_FETCHED = "Debian's CUDA is fetched with apt-get, which is missing"
HINT = "with CUDA 12.4 to 13.x installed and its folder in CUDA_HOME, nothing is fetched"


class CudaToolkit(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name).resolve()
        self.programs, self.usual = self.root / "programs", self.root / "usr-local-cuda"
        self.programs.mkdir()
        for program in PROGRAMS:
            (self.programs / program).symlink_to(shutil.which(program))
        # A copy has a cache of its own; the machine's own toolkit is not to answer.
        self.script = self.root / "tree" / "eng" / SCRIPT.name
        self.script.parent.mkdir(parents=True)
        self.script.write_text(SCRIPT.read_text().replace("/usr/local/cuda", str(self.usual)))
        self.script.chmod(0o755)
        self.fetched = self.root / "tree" / ".cache" / "cuda" / "12.4.1"

    def toolkit(self, name, release):
        """A folder with an nvcc of this release, or one that does not start."""
        root = self.root / name
        (root / "bin").mkdir(parents=True)
        nvcc = root / "bin" / "nvcc"
        nvcc.write_text("#!/bin/sh\necho 'nvcc: error while loading shared libraries' >&2\nexit 127\n" if release is None else
                        "#!/bin/sh\necho 'nvcc: NVIDIA (R) Cuda compiler driver'\n"
                        f"echo 'Cuda compilation tools, release {release}, V{release}.99'\n")
        nvcc.chmod(0o755)
        return root

    def run_script(self, path=(), **environment):
        folders = ":".join(map(str, (*path, self.programs)))
        return subprocess.run([self.script], env={"PATH": folders, **{name: str(value) for name, value in environment.items()}},
                              capture_output=True, text=True, check=False)

    def assert_taken(self, root, said="", **where):
        done = self.run_script(**where)
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, f"{root}\n", said))

    def assert_refused(self, *said, **where):
        done = self.run_script(**where)
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertEqual(done.stderr.splitlines(), [f"cuda-toolkit.sh: {line}" for line in (*said, NOT_FETCHED, HINT)])

    def test_versions_that_serve(self):
        for release in ("12.4", "12.9", "12.10", "13.0", "13.3"):
            self.assert_taken(root := self.toolkit(release, release), CUDA_HOME=root)

    def test_versions_that_do_not(self):
        for release in ("11.8", "12.0", "12.3", "14.0", "2.4", "112.4"):
            root = self.toolkit(release, release)
            self.assert_refused(f"not using {root}: its CUDA is {release}, Mezzo needs 12.4 to 13.x", CUDA_HOME=root)

    def test_one_that_does_not_start(self):
        root = self.toolkit("broken", None)
        self.assert_refused(f"not using {root}: its nvcc does not start, Mezzo needs CUDA 12.4 to 13.x", CUDA_HOME=root)

    def test_a_folder_without_a_compiler(self):
        self.assert_refused(f"not using {self.root}: it has no bin/nvcc", CUDA_HOME=self.root)

    def test_none_at_all(self):
        self.assert_refused()

    def test_one_that_serves_is_taken_after_those_that_do_not(self):
        old, new = self.toolkit("old", "12.3"), self.toolkit("new", "13.0")
        said = f"cuda-toolkit.sh: not using {old}: its CUDA is 12.3, Mezzo needs 12.4 to 13.x\n"
        self.assert_taken(new, said, CUDA_HOME=old, CUDA_PATH=new)
        self.assert_taken(new, said, CUDA_HOME=old, path=[new / "bin"])
        self.assert_taken(self.toolkit(self.usual, "12.4"), said, CUDA_HOME=old)

    def test_a_link_on_the_path_leads_to_its_toolkit(self):
        root = self.toolkit("real", "13.0")
        (self.root / "links").mkdir()
        (self.root / "links" / "nvcc").symlink_to(root / "bin" / "nvcc")
        self.assert_taken(root, path=[self.root / "links"])

    def test_the_fetched_one_is_the_last(self):
        self.toolkit(self.fetched, "12.4")
        self.assert_taken(self.fetched)
        self.assert_taken(root := self.toolkit("own", "13.0"), CUDA_HOME=root)


if __name__ == "__main__":
    unittest.main()
