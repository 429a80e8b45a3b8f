// Writes alerts to a file, on a thread of its own, so that the packet path never waits for a disk.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "nf_lib/result.h"
#include "nfs/nids/eve_record.h"

namespace hb::nids {

struct EveWriterOptions {
  std::string path;               ///< opened for appending: what is there stays
  std::uint32_t capacity = 8192;  ///< alerts between the packet path and the file; a power of two
  bool wait_when_full = false;    ///< push() waits for room; otherwise the alert counts as lost
};

/// A bounded queue with one producer, and the thread that empties it into the file.
///
/// push() and flush() belong to one thread. The rules that an alert names must outlive its writing.
/// Lines are appended whole, so several instances may write to the same file.
class EveWriter {
 public:
  /// @return an Error that names the file, when it can't be opened for writing
  static Result<std::unique_ptr<EveWriter>> open(EveWriterOptions options);
  /// Writes what is queued.
  ~EveWriter();
  EveWriter(const EveWriter&) = delete;
  EveWriter& operator=(const EveWriter&) = delete;

  /// Queues one alert; no allocation and no lock.
  /// @return false when the queue is full and the writer was not told to wait: counted as lost
  bool push(const Alert& alert) noexcept;

  /// Returns once everything pushed before has been handed to the operating system, or is lost.
  void flush() noexcept;

  /// Alerts queued so far, wrapping. Any thread.
  [[nodiscard]] std::uint32_t n_pushed() const noexcept {
    return pushed_.load(std::memory_order_acquire);
  }
  /// Whether the thread is done with all alerts that had been queued at that n_pushed(): the rules
  /// that they name may go. Any thread.
  [[nodiscard]] bool has_written(std::uint32_t n_pushed) const noexcept {
    // Acquire: pairs with the release store in run().
    return static_cast<std::int32_t>(taken_.load(std::memory_order_acquire) - n_pushed) >= 0;
  }

  [[nodiscard]] std::uint64_t n_written() const noexcept {
    return n_written_.load(std::memory_order_relaxed);
  }
  /// Alerts that did not fit the queue or that the file did not take (a full disk).
  [[nodiscard]] std::uint64_t n_lost() const noexcept {
    return n_overflowed_.load(std::memory_order_relaxed) +
           n_unwritten_.load(std::memory_order_relaxed);
  }

 private:
  EveWriter(int fd, EveWriterOptions options);
  void run() noexcept;
  void write_batch(std::uint32_t begin, std::uint32_t end) noexcept;
  bool write_all(const std::string& text) noexcept;

  static constexpr std::uint32_t kMaxBatch = 512;
  static constexpr std::size_t kLineBytes = 128;  // as kFalseSharingRange

  const int fd_;
  const EveWriterOptions options_;
  std::vector<Alert> queue_;
  // Counts run free and wrap; they are compared by difference only.
  alignas(kLineBytes) std::atomic<std::uint32_t> pushed_{0};  // the producer writes
  std::atomic<std::uint64_t> n_overflowed_{0};                // the producer writes
  std::atomic<bool> stop_{false};
  alignas(kLineBytes) std::atomic<std::uint32_t> taken_{0};  // the thread writes
  std::atomic<std::uint64_t> n_written_{0};
  std::atomic<std::uint64_t> n_unwritten_{0};
  bool failed_ = false;  // the thread's: the last write failed, and that was logged
  std::thread thread_;
};

}  // namespace hb::nids
