#include "nfs/nids/eve_writer.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spdlog/spdlog.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <exception>
#include <utility>

namespace hb::nids {
namespace {

constexpr std::chrono::milliseconds kLookPeriod{5};
/// How long an end waits for the thread to give up.
constexpr std::chrono::milliseconds kGiveUpLimit{500};
constexpr std::size_t kRegularBytes = 256 * 1024;

/// A writer that died in the middle of a line left no newline: the next line must not join it.
void end_partial_line(int fd) noexcept {
  struct stat status {};
  char last = '\n';
  if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode) || status.st_size == 0) return;
  if (pread(fd, &last, 1, status.st_size - 1) != 1 || last == '\n') return;
  [[maybe_unused]] const ssize_t n = write(fd, "\n", 1);
}

}  // namespace

Result<std::unique_ptr<EveWriter>> EveWriter::open(EveWriterOptions options) {
  options.capacity = std::bit_ceil(std::max(options.capacity, 2u));
  // Reading, too, to look at the last byte; a FIFO or device may allow writing alone.
  int fd = ::open(options.path.c_str(), O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
  if (fd < 0) fd = ::open(options.path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
  if (fd < 0) {
    return Error{fmt::format("alert file {}: {}", options.path, std::strerror(errno)),
                 "give --alerts a file in a folder that exists and may be written"};
  }
  end_partial_line(fd);
  // A pipe's reader may stall for good: the thread must not be stuck with it.
  struct stat status {};
  const bool is_regular = fstat(fd, &status) == 0 && S_ISREG(status.st_mode);
  if (!is_regular) fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
  const int give_up_fd = eventfd(0, EFD_CLOEXEC);
  if (give_up_fd < 0) {
    close(fd);
    return Error{fmt::format("alert file {}: {}", options.path, std::strerror(errno)),
                 "raise the limit of open files (ulimit -n)"};
  }
  return std::unique_ptr<EveWriter>(new EveWriter(fd, give_up_fd, is_regular, std::move(options)));
}

EveWriter::EveWriter(int fd, int give_up_fd, bool is_regular, EveWriterOptions options)
    : fd_(fd),
      give_up_fd_(give_up_fd),
      batch_bytes_(is_regular ? kRegularBytes : PIPE_BUF),
      options_(std::move(options)),
      queue_(options_.capacity) {
  // The thread takes no signals: they are for the NF's own thread.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::thread([this] { run(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

EveWriter::~EveWriter() {
  end();
  stop_.store(true, std::memory_order_relaxed);
  // One count more than alerts, so that the thread wakes. Release: stop_ is seen with it.
  pushed_.fetch_add(1, std::memory_order_release);
  pushed_.notify_one();
  thread_.join();
  close(give_up_fd_);
  close(fd_);
}

bool EveWriter::push(const Alert& alert) noexcept {
  const std::uint32_t at = pushed_.load(std::memory_order_relaxed);
  // Acquire: pairs with the release store in run(), so the slot's last alert has been read.
  if (at - taken_.load(std::memory_order_acquire) >= options_.capacity && !wait_for_room(at)) {
    n_overflowed_.fetch_add(1, std::memory_order_relaxed);
    return false;
  }
  gave_up_ = false;
  queue_[at & (options_.capacity - 1)] = alert;
  // Release: pairs with the acquire load in run(), so that a counted alert is whole.
  pushed_.store(at + 1, std::memory_order_release);
  pushed_.notify_one();
  return true;
}

/// @return false: the alert is lost
bool EveWriter::wait_for_room(std::uint32_t at) noexcept {
  if (!options_.wait_when_full || gave_up_) return false;
  const std::uint32_t full = at - options_.capacity;
  const Clock::time_point begin = Clock::now();
  while (await_progress(full) == full) {
    if (options_.may_wait() || Clock::now() - begin < options_.stall_limit) continue;
    gave_up_ = true;
    return false;
  }
  return true;
}

/// Sleeps until the thread has taken more, but no longer than kLookPeriod.
/// @return how much it has taken by now
std::uint32_t EveWriter::await_progress(std::uint32_t taken) noexcept {
  std::unique_lock lock(mutex_);
  std::uint32_t now = taken;
  progress_.wait_for(lock, kLookPeriod, [&] {
    // Acquire: pairs with the release store in run(): the alerts counted there are written.
    now = taken_.load(std::memory_order_acquire);
    return now != taken;
  });
  return now;
}

void EveWriter::flush() noexcept {
  const std::uint32_t end = pushed_.load(std::memory_order_relaxed);
  std::uint32_t taken = taken_.load(std::memory_order_acquire);  // as in await_progress()
  const Clock::time_point begin = Clock::now();
  Clock::time_point moved = gave_up_ ? begin - options_.stall_limit : begin;
  while (taken != end) {
    const std::uint32_t before = std::exchange(taken, await_progress(taken));
    const Clock::time_point now = Clock::now();
    if (taken != before) moved = now;
    (void)options_.may_wait();
    if (now - moved >= options_.stall_limit || now - begin >= options_.end_limit) return;
  }
}

void EveWriter::end() noexcept {
  if (std::exchange(ended_, true)) return;
  flush();
  given_up_.store(true, std::memory_order_relaxed);
  const std::uint64_t one = 1;
  [[maybe_unused]] const ssize_t n = write(give_up_fd_, &one, sizeof(one));
  // The thread counts what is left as lost, but for one that the kernel does not let go of.
  const std::uint32_t end = pushed_.load(std::memory_order_relaxed);
  std::uint32_t taken = taken_.load(std::memory_order_acquire);  // as in await_progress()
  const Clock::time_point deadline = Clock::now() + kGiveUpLimit;
  while (taken != end && Clock::now() < deadline) taken = await_progress(taken);
  n_overflowed_.fetch_add(end - taken, std::memory_order_relaxed);
}

void EveWriter::run() noexcept {
  std::uint32_t taken = 0;
  while (true) {
    pushed_.wait(taken, std::memory_order_acquire);
    // Acquire: pairs with the release stores in push() and in the destructor.
    const std::uint32_t pushed = pushed_.load(std::memory_order_acquire);
    if (stop_.load(std::memory_order_relaxed)) return;  // after end()
    if (pushed == taken) continue;
    taken = write_batch(taken, taken + std::min(pushed - taken, kMaxBatch));
    taken_.store(taken, std::memory_order_release);  // pairs with push() and await_progress()
    // Empty: who has looked at taken_ under the lock sleeps by now, and is woken.
    { const std::lock_guard lock(mutex_); }
    progress_.notify_one();
  }
}

/// Writes alerts from `begin` on, as many as make up a batch.
/// @return behind the last one that was written or lost
std::uint32_t EveWriter::write_batch(std::uint32_t begin, std::uint32_t end) noexcept {
  std::uint64_t n_whole = 0;
  std::uint32_t at = begin;
  try {
    std::string text(is_cut_ ? "\n" : "");
    const std::size_t n_before = text.size();
    for (; at != end && !given_up_.load(std::memory_order_relaxed); ++at) {
      const std::string line = eve_line(queue_[at & (options_.capacity - 1)]);
      if (at != begin && text.size() + line.size() > batch_bytes_) break;
      text += line;
    }
    const std::size_t n_bytes = at != begin ? write_text(text) : 0;
    if (n_bytes > n_before) {
      n_whole = static_cast<std::uint64_t>(
          std::count(text.begin() + static_cast<std::ptrdiff_t>(n_before),
                     text.begin() + static_cast<std::ptrdiff_t>(n_bytes), '\n'));
    }
    if (n_bytes != 0) is_cut_ = text[n_bytes - 1] != '\n';
    if (n_bytes == text.size()) failed_ = false;
  } catch (const std::exception& error) {  // no memory
    if (!std::exchange(failed_, true)) spdlog::error("alerts are lost: {}", error.what());
    at = end;
  }
  if (given_up_.load(std::memory_order_relaxed)) at = end;
  n_written_.fetch_add(n_whole, std::memory_order_relaxed);
  n_unwritten_.fetch_add(at - begin - n_whole, std::memory_order_relaxed);
  return at;
}

/// @return how many bytes the file took
std::size_t EveWriter::write_text(const std::string& text) noexcept {
  std::size_t done = 0;
  while (done < text.size()) {
    const ssize_t n = write(fd_, text.data() + done, text.size() - done);
    if (n > 0) done += static_cast<std::size_t>(n);
    if (n >= 0 || errno == EINTR) continue;
    if (errno == EAGAIN) {
      if (wait_for_file()) continue;
      spdlog::error("alert file {}: takes nothing: alerts are lost", options_.path);
    } else if (!std::exchange(failed_, true)) {
      spdlog::error("alert file {}: {}: alerts are lost", options_.path, std::strerror(errno));
    }
    break;
  }
  return done;
}

/// @return false: what is left is not to be written any more
bool EveWriter::wait_for_file() noexcept {
  pollfd polled[] = {{fd_, POLLOUT, 0}, {give_up_fd_, POLLIN, 0}};
  while (poll(polled, 2, -1) < 0 && errno == EINTR) continue;
  return polled[1].revents == 0;
}

}  // namespace hb::nids
