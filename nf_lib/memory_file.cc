#include "nf_lib/memory_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace hb {
namespace {

/// Several copies of a file's bytes exist for a moment, here and in gpu_host.
constexpr off_t kMostFileBytes = off_t{256} << 20;

template <typename Content>
Result<Content> read_into(const std::string& path) {
  Content content;
  if (path.empty()) return content;
  const auto failed = [&] {
    return Error{fmt::format("'{}' can't be read: {}", path, std::strerror(errno)),
                 "name a file that exists and may be read"};
  };
  // Without O_NONBLOCK the open() of a pipe would wait for a writer.
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return failed();
  struct stat info {};
  Result<void> good;
  if (fstat(fd, &info) != 0)
    good = failed();
  else if (!S_ISREG(info.st_mode))
    good =
        Error{fmt::format("'{}' is no regular file", path), "name one, no folder, device or pipe"};
  else if (info.st_size > kMostFileBytes)
    good =
        Error{fmt::format("'{}' has {} bytes, {} are the most", path, info.st_size, kMostFileBytes),
              "name a smaller file"};
  if (!good) {
    close(fd);
    return good.error();
  }
  content.resize(static_cast<std::size_t>(info.st_size));
  std::size_t at = 0;
  while (at < content.size()) {
    const ssize_t got = pread(fd, content.data() + at, content.size() - at, static_cast<off_t>(at));
    if (got <= 0) break;
    at += static_cast<std::size_t>(got);
  }
  close(fd);
  content.resize(at);
  return content;
}

}  // namespace

Result<MemoryFile> MemoryFile::make(const std::string& name, std::span<const std::byte> bytes) {
  MemoryFile file(memfd_create(name.c_str(), MFD_CLOEXEC));
  if (file.fd_ < 0)
    return Error{fmt::format("no memory file can be made: {}", std::strerror(errno)), ""};
  for (std::size_t written = 0; written < bytes.size();) {
    const ssize_t n = write(file.fd_, bytes.data() + written, bytes.size() - written);
    if (n <= 0)
      return Error{fmt::format("{} bytes can't be stored: {}", bytes.size(), std::strerror(errno)),
                   "free memory"};
    written += static_cast<std::size_t>(n);
  }
  return file;
}

MemoryFile::~MemoryFile() {
  if (fd_ >= 0) close(fd_);
}

std::string MemoryFile::path() const { return fmt::format("/proc/{}/fd/{}", getpid(), fd_); }

Result<std::string> read_file(const std::string& path) { return read_into<std::string>(path); }

Result<SecretVector<std::byte>> read_secret_bytes(const std::string& path) {
  return read_into<SecretVector<std::byte>>(path);
}

}  // namespace hb
