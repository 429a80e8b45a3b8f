// Bytes that another process is to read, as a file in memory.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <utility>

#include "nf_lib/result.h"
#include "nf_lib/secret_memory.h"

namespace hb {

/// Owns the file's descriptor; the file is gone with it and with those that others have opened.
class MemoryFile {
 public:
  /// @param name  for people who look into /proc
  static Result<MemoryFile> make(const std::string& name, std::span<const std::byte> bytes);
  MemoryFile(MemoryFile&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  MemoryFile& operator=(MemoryFile&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~MemoryFile();

  [[nodiscard]] int fd() const noexcept { return fd_; }
  /// The name under which another process of the same user opens it, while this one lives.
  [[nodiscard]] std::string path() const;

 private:
  explicit MemoryFile(int fd) : fd_(fd) {}
  int fd_ = -1;
};

/// The same into memory for secrets.
Result<SecretVector<std::byte>> read_secret_bytes(const std::string& path);

/// Reads a file once, into memory of this process: what is checked is what is used, whatever its
/// writer does to the file meanwhile.
/// @param path  empty: no bytes; else a regular file of at most 256 MiB
Result<std::string> read_file(const std::string& path);

}  // namespace hb
