#include "manager/control_area.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/interprocess/file_mapping.hpp>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "nf_lib/control_socket.h"
#include "nf_lib/surviving.h"

namespace hb {
namespace {

namespace bip = boost::interprocess;
namespace fs = std::filesystem;

/// Makes a zeroed file of that size and maps it; the file's mode is 0600.
Result<bip::mapped_region> make_file(const std::string& path, std::size_t bytes, bip::mode_t mode) {
  const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  const bool made = fd >= 0 && ftruncate(fd, static_cast<off_t>(bytes)) == 0;
  const int error = errno;
  if (fd >= 0) close(fd);
  if (!made)
    return Error{fmt::format("'{}' can't be made: {}", path, std::strerror(error)),
                 "run this as root, or free space on /run"};
  try {
    return bip::mapped_region(bip::file_mapping(path.c_str(), mode), mode);
  } catch (const bip::interprocess_exception& thrown) {
    return Error{fmt::format("'{}' can't be mapped: {}", path, thrown.what()), ""};
  }
}

ControlHeader header(std::uint64_t magic) { return {magic, kControlVersion, layout_hash()}; }

/// Writes a header through a mapping of its own, so that the manager's long-lived one of a
/// context's page can be read-only.
Result<void> write_header(const std::string& path, const ControlHeader& value) {
  const int fd = open(path.c_str(), O_WRONLY | O_CLOEXEC);
  const bool written = fd >= 0 && pwrite(fd, &value, sizeof(value), 0) == sizeof(value);
  if (fd >= 0) close(fd);
  if (!written) return Error{fmt::format("'{}' can't be written", path), "free space on /run"};
  return {};
}

}  // namespace

ContextFile::~ContextFile() { unlink(path_.c_str()); }

Result<std::unique_ptr<ControlArea>> ControlArea::create(const std::string& prefix,
                                                         const std::string& hugepage_directory) {
  std::unique_ptr<ControlArea> area(new ControlArea);
  area->prefix_ = prefix;
  area->directory_ = runtime_directory(prefix);
  area->hugepage_directory_ = hugepage_directory;
  area->region_path_ = hugepage_directory + "/hummingbird-" + prefix + "-region";
  mkdir("/run/hummingbird", 0755);
  if (mkdir(area->directory_.c_str(), 0700) != 0 && errno != EEXIST)
    return Error{fmt::format("'{}' can't be made: {}", area->directory_, std::strerror(errno)),
                 "run this as root"};
  const std::string lock_path = area->directory_ + "/lock";
  const int lock = open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (lock < 0)
    return Error{fmt::format("'{}' can't be opened: {}", lock_path, std::strerror(errno)),
                 "run this as the user who owns it"};
  if (flock(lock, LOCK_EX | LOCK_NB) != 0) {
    close(lock);
    return Error{fmt::format("a manager is already running with prefix '{}'", prefix),
                 "stop it, or give this one another --prefix"};
  }
  area->lock_ = lock;
  area->remove_leftovers();

  auto registry = make_file(area->directory_ + "/registry", sizeof(Registry), bip::read_write);
  if (!registry) return registry.error();
  auto routes = make_file(area->directory_ + "/routes", sizeof(RouteTables), bip::read_write);
  if (!routes) return routes.error();
  area->registry_ = std::move(*registry);
  area->routes_ = std::move(*routes);
  area->registry().header = header(kRegistryMagic);
  area->routes().header = header(kRoutesMagic);
  return area;
}

void ControlArea::remove_leftovers() const {
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(directory_, ignored)) {
    if (entry.path().filename() != "lock") fs::remove(entry.path(), ignored);
  }
  fs::remove(region_path_, ignored);
  // What DPDK leaves: its runtime directory, and its hugepage files after a crash.
  fs::remove_all("/var/run/dpdk/hummingbird-" + prefix_, ignored);
  const std::string own = "hummingbird-" + prefix_ + "map_";
  for (const auto& entry : fs::directory_iterator(hugepage_directory_, ignored)) {
    if (entry.path().filename().string().rfind(own, 0) == 0) fs::remove(entry.path(), ignored);
  }
}

ControlArea::~ControlArea() {
  if (lock_ < 0) return;
  remove_leftovers();
  // The lock goes last, by name first: who opened the old name meanwhile finds it unlocked and
  // makes a directory of its own.
  unlink((directory_ + "/lock").c_str());
  rmdir(directory_.c_str());
  rmdir("/run/hummingbird");  // only when no other prefix is there
  close(lock_);
}

Result<std::unique_ptr<ContextFile>> ControlArea::make_page(ContextId context) {
  const std::string name = fmt::format("context-{}-{}", context.value, ++generation_);
  const std::string path = directory_ + "/" + name;
  auto region = make_file(path, sizeof(ContextPage), bip::read_only);
  if (!region) return region.error();
  auto file = std::make_unique<ContextFile>(path, name, std::move(*region));
  if (const Result<void> written = write_header(path, header(kContextMagic)); !written)
    return written.error();
  return file;
}

Result<std::string> ControlArea::keep_surviving(const std::string& service, std::uint64_t bytes) {
  const std::string name = "surviving-" + service;
  const std::string path = directory_ + "/" + name;
  const std::uint64_t total = kSurvivingData + bytes;
  std::error_code missing;
  const std::uintmax_t found = fs::file_size(path, missing);
  if (!missing) {
    if (found != total)
      return Error{fmt::format("service '{}' asks for {} bytes that survive, its last process had "
                               "another size",
                               service, bytes),
                   "start the build that it was started with first, or restart the manager"};
    return name;
  }
  const auto made = make_file(path, total, bip::read_only);
  if (!made) return made.error();
  if (const Result<void> written = write_header(path, header(kSurvivingMagic)); !written) {
    unlink(path.c_str());
    return written.error();
  }
  return name;
}

}  // namespace hb
