#include "gpu_host/kernel_source.h"

#include <fmt/format.h>

#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

namespace hb {
namespace {

constexpr const char* kUserFile = "user.cl";

class Reader {
 public:
  Reader(const std::string& dir, const UserSource* user) : dir_(dir), user_(user) {}

  Result<void> append_file(const std::string& file, const std::string& includer) {
    if (!seen_.insert(file).second) return {};
    if (file == kUserFile) {
      if (user_ == nullptr) return {};
      std::istringstream in(user_->text);
      return append(in, user_->file);
    }
    std::ifstream in(dir_ + "/" + file);
    if (!in || file.find('/') != std::string::npos)
      return Error{fmt::format("{}the kernel source '{}/{}' can't be read", includer, dir_, file),
                   includer.empty() ? "build the project again, or name its folder with --kernels"
                                    : "a kernel can include the files of that folder only"};
    return append(in, file);
  }

  [[nodiscard]] std::string& text() { return out_; }

 private:
  Result<void> append(std::istream& in, const std::string& name) {
    out_ += fmt::format("#line 1 \"{}\"\n", name);
    std::string line;
    for (int number = 1; std::getline(in, line); ++number) {
      constexpr std::string_view kInclude = "#include \"";
      const std::size_t end = line.find('"', kInclude.size());
      if (!line.starts_with(kInclude) || end == std::string::npos) {
        out_ += line + '\n';
        continue;
      }
      const std::string included = line.substr(kInclude.size(), end - kInclude.size());
      if (const Result<void> done = append_file(included, fmt::format("{}:{}: ", name, number));
          !done)
        return done;
      out_ += fmt::format("#line {} \"{}\"\n", number + 1, name);
    }
    return {};
  }

  const std::string& dir_;
  const UserSource* user_;
  std::set<std::string> seen_;
  std::string out_;
};

}  // namespace

Result<std::string> load_kernel_source(const std::string& dir, const std::string& file,
                                       const UserSource* user) {
  Reader reader(dir, user);
  if (user != nullptr) reader.text() = "#define HB_USER_KERNEL 1\n";
  if (const Result<void> done = reader.append_file(file, ""); !done) return done.error();
  return std::move(reader.text());
}

std::string default_kernel_dir() {
  std::error_code error;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", error);
  return (self.parent_path().parent_path() / "kernels").string();
}

}  // namespace hb
