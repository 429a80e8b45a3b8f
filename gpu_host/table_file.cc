#include "gpu_host/table_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace hb {

Result<TableFile> TableFile::open(const std::string& path) {
  TableFile file;
  if (path.empty()) return file;
  const auto failed = [&] {
    return Error{fmt::format("the table '{}' can't be read: {}", path, std::strerror(errno)),
                 "the control process must keep it until its slice is added"};
  };
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return failed();
  struct stat info {};
  if (fstat(fd, &info) != 0) {
    const Error error = failed();
    close(fd);
    return error;
  }
  file.content_.resize(static_cast<std::size_t>(info.st_size));
  std::size_t at = 0;
  while (at < file.content_.size()) {
    const ssize_t got =
        pread(fd, file.content_.data() + at, file.content_.size() - at, static_cast<off_t>(at));
    if (got <= 0) break;
    at += static_cast<std::size_t>(got);
  }
  close(fd);
  file.content_.resize(at);
  return file;
}

}  // namespace hb
