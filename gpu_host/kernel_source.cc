#include "gpu_host/kernel_source.h"

#include <fmt/format.h>

#include <filesystem>
#include <fstream>
#include <set>

namespace hb {
namespace {

Result<void> append(const std::string& dir, const std::string& file, std::set<std::string>& seen,
                    std::string& out) {
  if (!seen.insert(file).second) return {};
  std::ifstream in(dir + "/" + file);
  if (!in)
    return Error{fmt::format("the kernel source '{}/{}' can't be read", dir, file),
                 "build the project again, or name its folder with --kernels"};
  out += fmt::format("#line 1 \"{}\"\n", file);
  std::string line;
  for (int number = 1; std::getline(in, line); ++number) {
    constexpr std::string_view kInclude = "#include \"";
    const std::size_t end = line.rfind('"');
    if (!line.starts_with(kInclude) || end <= kInclude.size()) {
      out += line + '\n';
      continue;
    }
    const std::string name = line.substr(kInclude.size(), end - kInclude.size());
    if (const Result<void> done = append(dir, name, seen, out); !done) return done;
    out += fmt::format("#line {} \"{}\"\n", number + 1, file);
  }
  return {};
}

}  // namespace

Result<std::string> load_kernel_source(const std::string& dir, const std::string& file) {
  std::set<std::string> seen;
  std::string out;
  if (const Result<void> done = append(dir, file, seen, out); !done) return done.error();
  return out;
}

std::string default_kernel_dir() {
  std::error_code error;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", error);
  return (self.parent_path().parent_path() / "kernels").string();
}

}  // namespace hb
