// The files under /run/hummingbird/<prefix>: lock, registry, routes, one page for each context.
#pragma once

#include <boost/interprocess/mapped_region.hpp>
#include <memory>
#include <string>

#include "nf_lib/control_layout.h"
#include "nf_lib/result.h"

namespace hb {

/// A context's page as the manager sees it: mapped read-only, its file gone when this ends.
class ContextFile {
 public:
  ContextFile(std::string path, std::string name, boost::interprocess::mapped_region region)
      : path_(std::move(path)), name_(std::move(name)), region_(std::move(region)) {}
  ~ContextFile();
  ContextFile(const ContextFile&) = delete;
  ContextFile& operator=(const ContextFile&) = delete;

  [[nodiscard]] const ContextPage& page() const noexcept {
    return *static_cast<const ContextPage*>(region_.get_address());
  }
  [[nodiscard]] const std::string& name() const noexcept { return name_; }

 private:
  std::string path_;
  std::string name_;
  boost::interprocess::mapped_region region_;
};

/// Owns the directory of one prefix, from the lock to the last file. Control thread only.
class ControlArea {
 public:
  /// Takes the lock and removes what a manager that died has left behind.
  static Result<std::unique_ptr<ControlArea>> create(const std::string& prefix,
                                                     const std::string& hugepage_directory);
  ~ControlArea();
  ControlArea(const ControlArea&) = delete;
  ControlArea& operator=(const ControlArea&) = delete;

  [[nodiscard]] Registry& registry() noexcept {
    return *static_cast<Registry*>(registry_.get_address());
  }
  [[nodiscard]] RouteTables& routes() noexcept {
    return *static_cast<RouteTables*>(routes_.get_address());
  }
  /// Makes a fresh page; its name is never used twice in this manager's life.
  Result<std::unique_ptr<ContextFile>> make_page(ContextId context);

  /// Makes a service's surviving block, or finds the one that its last process left.
  /// @return the file's name
  Result<std::string> keep_surviving(const std::string& service, std::uint64_t bytes);

  [[nodiscard]] const std::string& region_path() const noexcept { return region_path_; }

 private:
  ControlArea() = default;
  void remove_leftovers() const;

  std::string prefix_;
  std::string directory_;
  std::string hugepage_directory_;
  std::string region_path_;
  int lock_ = -1;
  std::uint32_t generation_ = 0;
  boost::interprocess::mapped_region registry_;
  boost::interprocess::mapped_region routes_;
};

}  // namespace hb
