// Writes alerts to a file, on a thread of its own, so that the packet path never waits for a disk.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
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
  /// Called about every 5 ms while push() or end() waits, on their thread. false: an end is asked
  /// for, and push() does not wait any longer for a file that takes nothing.
  std::function<bool()> may_wait = [] { return true; };
  std::chrono::milliseconds stall_limit{2000};  ///< an end waits so long for a file that stalls,
  std::chrono::milliseconds end_limit{60'000};  ///< and so long in all for one that is slow
};

/// A bounded queue with one producer, and the thread that empties it into the file.
///
/// push(), flush() and end() belong to one thread. The rules that an alert names must outlive its
/// writing. Lines are appended whole, so several instances may write to the same file; a pipe takes
/// whole lines or none, so that what it did not take is known to the line.
class EveWriter {
 public:
  /// @return an Error that names the file, when it can't be opened for writing
  static Result<std::unique_ptr<EveWriter>> open(EveWriterOptions options);
  /// As end().
  ~EveWriter();
  EveWriter(const EveWriter&) = delete;
  EveWriter& operator=(const EveWriter&) = delete;

  /// Queues one alert; no allocation and no lock.
  /// @return false when the queue is full and the writer was not told to wait: counted as lost
  bool push(const Alert& alert) noexcept;

  /// Returns once everything pushed before has been handed to the operating system, or is lost; or
  /// when that takes longer than an end waits.
  void flush() noexcept;

  /// Writes what is queued, unless the file stalls or takes too long: the rest counts as lost then.
  /// Nothing is pushed afterwards.
  void end() noexcept;

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
  using Clock = std::chrono::steady_clock;

  EveWriter(int fd, int give_up_fd, bool is_regular, EveWriterOptions options);
  void run() noexcept;
  std::uint32_t write_batch(std::uint32_t begin, std::uint32_t end) noexcept;
  std::size_t write_text(const std::string& text) noexcept;
  bool wait_for_file() noexcept;
  std::uint32_t await_progress(std::uint32_t taken) noexcept;
  bool wait_for_room(std::uint32_t at) noexcept;

  static constexpr std::uint32_t kMaxBatch = 512;
  static constexpr std::size_t kLineBytes = 128;  // as kFalseSharingRange

  const int fd_;
  const int give_up_fd_;           // readable once what is left is not to be written any more
  const std::size_t batch_bytes_;  // a batch is no longer, unless a single line is
  const EveWriterOptions options_;
  std::vector<Alert> queue_;
  bool gave_up_ =
      false;  // the producer's: the file stalled for too long, and has taken nothing since
  bool ended_ = false;  // the producer's
  // The producer sleeps on these, where it waits; nothing else needs the lock.
  std::mutex mutex_;
  std::condition_variable progress_;
  // Counts run free and wrap; they are compared by difference only.
  alignas(kLineBytes) std::atomic<std::uint32_t> pushed_{0};  // the producer writes
  std::atomic<std::uint64_t> n_overflowed_{0};                // the producer writes
  std::atomic<bool> stop_{false};
  std::atomic<bool> given_up_{false};                        // end() writes
  alignas(kLineBytes) std::atomic<std::uint32_t> taken_{0};  // the thread writes
  std::atomic<std::uint64_t> n_written_{0};
  std::atomic<std::uint64_t> n_unwritten_{0};
  bool failed_ = false;  // the thread's: the last write failed, and that was logged
  bool is_cut_ = false;  // the thread's: the file ends in the middle of a line
  std::thread thread_;
};

}  // namespace hb::nids
