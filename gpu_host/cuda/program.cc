#include "gpu_host/cuda/program.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>
#include <span>
#include <sstream>
#include <vector>

#include "gpu_host/cuda/nvrtc.h"
#include "gpu_host/cuda/session.h"
#include "gpu_host/kernel_source.h"
#include "gpu_host/program_builder.h"
#include "nf_lib/memory_file.h"

namespace hb::cuda {
namespace {

constexpr std::chrono::minutes kBuildLimit{5};
constexpr std::chrono::minutes kUserBuildLimit{2};
constexpr std::string_view kMark = "program ";
constexpr std::string_view kMagic = "hummingbird cuda program 1\n";

/// $XDG_CACHE_HOME, ~/.cache or /var/cache, as others' compilers do.
std::filesystem::path cache_dir() {
  const auto set = [](const char* name) {
    const char* value = std::getenv(name);
    return std::filesystem::path(value != nullptr ? value : "");
  };
  if (const auto cache = set("XDG_CACHE_HOME"); cache.is_absolute()) return cache / "hummingbird";
  if (const auto home = set("HOME"); home.is_absolute()) return home / ".cache" / "hummingbird";
  return "/var/cache/hummingbird";
}

/// FNV-1a, for the file's name alone: what decides is the comparison of the whole key.
std::uint64_t name_hash(std::string_view text) {
  std::uint64_t hash = 0xcbf29ce484222325u;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  return hash;
}

/// The file's head: the sizes of key and code, then the key. Code follows.
std::string head_of(const std::string& key, std::size_t code_bytes) {
  return fmt::format("{}{} {}\n{}", kMagic, key.size(), code_bytes, key);
}

struct Cached {
  std::string key;
  std::string code;
};

/// @return nothing if the file is not ours, cut short, or no program
std::optional<Cached> read_cached(const std::string& path) {
  struct stat info {};
  if (stat(path.c_str(), &info) != 0 || info.st_uid != geteuid()) return std::nullopt;
  std::ifstream in(path, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  const std::string all = text.str();
  std::size_t key_bytes = 0;
  std::size_t code_bytes = 0;
  if (!all.starts_with(kMagic) ||
      std::sscanf(all.c_str() + kMagic.size(), "%zu %zu", &key_bytes, &code_bytes) != 2)
    return std::nullopt;
  const std::size_t start = all.find('\n', kMagic.size()) + 1;
  if (start > all.size() || key_bytes > all.size() - start || code_bytes == 0 ||
      code_bytes != all.size() - start - key_bytes)
    return std::nullopt;
  return Cached{all.substr(start, key_bytes), all.substr(start + key_bytes)};
}

Result<void> write_file(const std::filesystem::path& path, const std::string& content) {
  std::error_code error;
  std::filesystem::create_directories(path.parent_path(), error);
  const std::string fresh = fmt::format("{}.{}", path.string(), getpid());
  {
    std::ofstream out(fresh, std::ios::binary);
    out << content;
    if (!out.flush()) {
      unlink(fresh.c_str());
      return Error{fmt::format("the compiled kernels can't be written to '{}'", fresh),
                   "make that folder writable, or set XDG_CACHE_HOME to one that is"};
    }
  }
  // Readers see the old file or the new one, never a half.
  if (rename(fresh.c_str(), path.c_str()) != 0) {
    unlink(fresh.c_str());
    return Error{fmt::format("'{}': {}", path.string(), std::strerror(errno)), ""};
  }
  return {};
}

/// Has the helper process build.
/// @return the program
Result<std::string> program_from_helper(const BackendOptions& options,
                                        const std::vector<std::string>& more,
                                        std::chrono::seconds limit) {
  const Result<std::string> said = build_in_helper(options, "cuda", more, limit);
  if (!said) return said.error();
  const std::size_t at = said->rfind(kMark);
  if (at == std::string::npos)
    return Error{"the program builder ended without saying what it built: " + *said, ""};
  std::string path = said->substr(at + kMark.size());
  while (!path.empty() && path.back() == '\n') path.pop_back();
  return read_program(path);
}

}  // namespace

Result<std::string> build_into_cache(const BackendOptions& options, const UserKernel* user) {
  const Result<const DriverApi*> api = load_driver();
  if (!api) return api.error();
  const Result<std::vector<Device>> devices = list_devices(**api);
  if (!devices) return devices.error();
  if (options.device_idx >= devices->size())
    return Error{fmt::format("there is no CUDA device {}", options.device_idx), ""};
  const Device& device = (*devices)[options.device_idx];
  const UserSource text =
      user != nullptr ? UserSource{user->file.name, user->file.source} : UserSource{};
  const Result<std::string> source =
      load_kernel_source(options.kernel_dir, "persistent.cl", user != nullptr ? &text : nullptr);
  if (!source) return source.error();
  const Result<Nvrtc> nvrtc = Nvrtc::load();
  if (!nvrtc) return nvrtc.error();
  const std::string key = fmt::format("arch {}\n{}\nnvrtc {}\n{}", device.arch,
                                      device.info.platform, nvrtc->version(), *source);
  const std::filesystem::path path =
      cache_dir() / fmt::format("{:016x}-sm{}.cuda", name_hash(key), device.arch);
  if (const auto cached = read_cached(path.string()); cached && cached->key == key)
    return path.string();
  const Result<std::string> code = nvrtc->compile(*source, device.arch);
  if (!code) return code.error();
  if (const Result<void> written = write_file(path, head_of(key, code->size()) + *code); !written)
    return written.error();
  return path.string();
}

Result<std::string> read_program(const std::string& path) {
  std::optional<Cached> cached = read_cached(path);
  if (!cached)
    return Error{fmt::format("the compiled kernels in '{}' can't be read", path),
                 "remove that file and try again"};
  return std::move(cached->code);
}

Result<std::string> build_program_elsewhere(const BackendOptions& options) {
  return program_from_helper(options, {}, kBuildLimit);
}

Result<std::string> build_user_elsewhere(const BackendOptions& options, const UserKernel& user) {
  const Result<MemoryFile> text =
      MemoryFile::make("hummingbird-kernel",
                       std::as_bytes(std::span(user.file.source.data(), user.file.source.size())));
  if (!text) return text.error();
  const Result<MemoryFile> table = MemoryFile::make("hummingbird-table", user.table);
  if (!table) return table.error();
  Result<std::string> code = program_from_helper(
      options,
      {"--user-kernel", text->path(), "--user-name", user.file.name, "--user-table", table->path()},
      kUserBuildLimit);
  if (!code) return kernel_refused(user.file.name, code.error().what);
  return code;
}

}  // namespace hb::cuda
