"""The measure of the code's shape reads C++ as it is written here, and the code keeps its limits."""
import pathlib
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts/lib"))
import shape  # noqa: E402

_HEADER = """
#include "base/other.h"
// A sentence; with { braces } and "quotes".
// Shape: for a test.
class Whole final : public Base<int, Other> {
 public:
  enum class Kind : std::uint8_t { one, two };
  struct Inside {
    int a = 0, b = 1;
    std::map<int, std::string> c{{1, "x;y"}};
  };
  using Callback = std::function<void(int)>;
  Whole(int a, int* b) : told_(a), a_(*b) {}
  ~Whole() override;
  Whole(const Whole&) = delete;
  Whole& operator=(const Whole&) = default;
  bool operator==(const Whole& other) const { return a_ == other.a_; }
  int get() const { if (a_ > 0) { return a_; } return 0; }
  template <typename T>
  T value(T otherwise = T{}) const;
  static Result<Whole> make(std::function<void(int)> told);
  virtual void pure() = 0;
  friend class Friend;
  static constexpr int kLimit = 4;

 private:
  class Hidden;
  void step();
  std::function<void(int, int)> told_;
  std::array<std::uint8_t, 6> mac_{}, other_mac_{};
  int a_ = 0;  // not b_;
  std::unique_ptr<Hidden> hidden_;
};
struct Record {
  int a, b, c;
  double d = f(1, 2);
};
"""


class Reading(unittest.TestCase):
    def setUp(self):
        self.found = {one.name: one for one in shape.classes_of(_HEADER, "base/whole.h")}

    def test_methods_and_members_are_counted_and_constructors_are_not(self):
        whole = self.found["Whole"]
        # operator==, get, value, make, pure, step; told_, mac_, other_mac_, a_, hidden_
        self.assertEqual((whole.methods, whole.members, whole.record), (6, 5, False))

    def test_records_and_nested_types_stand_for_themselves(self):
        self.assertEqual(set(self.found), {"Whole", "Whole::Inside", "Record"})
        self.assertEqual((self.found["Record"].members, self.found["Record"].record), (4, True))
        self.assertEqual(self.found["Whole::Inside"].members, 3)

    def test_a_reason_in_the_comment_is_a_reason(self):
        large = shape.Class("X", "x.h", "// Shape: because", methods=99, members=99, record=False, files=9)
        self.assertEqual(shape.too_large(large), [])
        large.comment = "// no reason"
        self.assertEqual(len(shape.too_large(large)), 3)
        self.assertIn("Shape:", self.found["Whole"].comment)

    def test_files_of_a_class_are_those_that_define_its_functions(self):
        texts = {pathlib.Path("base/x.h"): "class X {\n  int a_;\n};\n",
                 pathlib.Path("base/x.cc"): '#include "base/x.h"\nint X::f() {\n  return 1;\n}\n',
                 pathlib.Path("base/y.cc"): '#include "base/x.h"\nX::X(int a)\n    : a_(a) {}\n',
                 pathlib.Path("base/z.cc"): '#include "base/x.h"\nint g() {\n  return X::f();\n}\n'}
        self.assertEqual([one.files for one in shape.all_classes(texts)], [2])


class Arrows(unittest.TestCase):
    def problems(self, *pairs):
        texts = {}
        for source, target in pairs:
            texts.setdefault(pathlib.Path(target), "")
            texts[pathlib.Path(source)] = texts.get(pathlib.Path(source), "") + f'#include "{target}"\n'
        return shape.wrong_arrows(texts)

    def test_what_runs_down_is_allowed(self):
        self.assertEqual(self.problems(("app/a.h", "base/b.h"), ("dataplane/path/a.h", "dataplane/sa/b.h")), [])

    def test_what_runs_back_up_is_named(self):
        self.assertEqual(self.problems(("base/b.h", "handshake/a.h")),
                         ["an include that runs back up: base/b.h includes handshake/a.h"])
        self.assertEqual(len(self.problems(("dataplane/sa/b.cc", "dataplane/path/a.h"))), 1)
        self.assertEqual(len(self.problems(("dataplane/a.h", "handshake/b.h"))), 1)

    def test_a_circle_of_folders_is_named(self):
        problems = self.problems(("app/one/a.h", "app/two/b.h"), ("app/two/b.h", "app/three/c.h"), ("app/three/c.h", "app/one/a.h"))
        self.assertEqual(len(problems), 1)
        self.assertIn("app: one → two → three → one is a circle", problems[0])

    def test_the_product_includes_nothing_of_tests(self):
        self.assertEqual(self.problems(("app/a.h", "app/testing/b.h")),
                         ["a test's own file in the product: app/a.h includes app/testing/b.h"])
        self.assertEqual(self.problems(("app/a_test.cc", "app/testing/b.h"), ("app/testing/c.h", "app/testing/b.h")), [])


class TheCode(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.texts = shape.read(ROOT)

    def test_classes_keep_their_limits(self):
        over = {one.name: (one.methods, one.members, one.files) for one in shape.all_classes(self.texts) if shape.too_large(one)}
        self.assertEqual(over, {})

    def test_folders_and_arrows_keep_theirs(self):
        problems = [f"{folder}: {count}" for folder, count in shape.folders(self.texts).items() if count > shape.FOLDER]
        self.assertEqual(problems + shape.wrong_arrows(self.texts), [])

    def test_every_folder_says_what_lives_there(self):
        """In its own README, or in that of the folder above; a folder called testing needs no words."""
        def says(folder):
            above = ROOT / pathlib.Path(folder).parent / "README.md"
            return folder.endswith("/testing") or (ROOT / folder / "README.md").exists() or (
                above.exists() and f"`{pathlib.Path(folder).name}/`" in above.read_text())
        self.assertEqual([folder for folder in sorted(shape.folders(self.texts)) if not says(folder)], [])


if __name__ == "__main__":
    unittest.main()
