#include "nfs/ipsec/secret_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace hb::ipsec {
namespace {

/// An SA file of thousands of SAs has a few megabytes; a wrong path may have many more.
constexpr std::size_t kMaxFileBytes = std::size_t{64} << 20;

}  // namespace

Result<SecretVector<char>> read_secret_file(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  const auto failed = [&](int error) {
    if (fd >= 0) close(fd);
    return Error{fmt::format("'{}' can't be read: {}", path, std::strerror(error)),
                 "name a file in the form of 'ip xfrm state' with --sa"};
  };
  if (fd < 0) return failed(errno);
  struct stat status {};
  if (fstat(fd, &status) != 0) return failed(errno);
  if (S_ISDIR(status.st_mode)) return failed(EISDIR);
  // Not sized by the file's length: pipes have none.
  SecretVector<char> text(64 << 10);
  std::size_t n = 0;
  for (;;) {
    const ssize_t got = read(fd, text.data() + n, text.size() - n);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return failed(errno);
    if (got == 0) break;
    n += static_cast<std::size_t>(got);
    if (n > kMaxFileBytes) return failed(EFBIG);
    if (n == text.size()) text.resize(2 * n);
  }
  close(fd);
  text.resize(n);
  return text;
}

}  // namespace hb::ipsec
