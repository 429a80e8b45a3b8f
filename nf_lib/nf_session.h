// An NF program's life between attachment and end: registration, the thread that listens to the
// manager and to signals, and the two flags that the run loop looks at.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <thread>

#include "nf_lib/attachment.h"
#include "nf_lib/memory_file.h"
#include "nf_lib/nf.h"

namespace hb {

struct Registration {
  ContextId context;
  EndpointId endpoint;
  ServiceId service;
  InstanceId instance;
  std::uint32_t number = 0;  ///< OpenNetVM's service id, if it was asked for
  ContextPage* page = nullptr;
  std::span<std::byte> surviving;          ///< empty if none was declared
  std::vector<std::uint32_t> copy_queues;  ///< of a GPU NF, one for each CPUSyncer
};

/// What a GPU NF has on the device. The manager hands the files on by this process' descriptors, so
/// they stay open until the call that takes this has returned.
struct DeviceCode {
  std::string kernel;  ///< of the catalog
  const MemoryFile& table;
  const MemoryFile* source = nullptr;  ///< a kernel of its own
  std::string source_name;
};

/// Blocks (or lets through) SIGINT and SIGTERM in this and all later threads. Blocked before any
/// thread starts, so that only the listener sees them; let through in the main thread while it sets
/// up, when there is nothing to finish.
void block_stop_signals(bool block = true);

/// Registers one instance over a connection of its own; blocks until the manager has answered.
/// @param more  further fields of the message
Result<Registration> register_instance(const ControlSocket& socket, Attachment& attachment,
                                       const NfDescription& description, const std::string& service,
                                       Compute compute, Isolation isolation,
                                       const nlohmann::json& more);
/// Says that packets may come, and waits until the manager agrees.
/// @param signal_fd  of the blocked signals that end the process if they come before the answer;
///                   -1: none is blocked
Result<void> say_ready(const ControlSocket& socket, const nlohmann::json& message,
                       int signal_fd = -1);
/// Says that the instance is done, and waits until the manager has heard it.
void say_bye(const ControlSocket& socket, const nlohmann::json& message);

/// One registered process. Its listener thread ends with it.
class NfSession {
 public:
  /// @param service  the name to register, which may differ from the description's
  static Result<std::unique_ptr<NfSession>> start(Attachment attachment,
                                                  const NfDescription& description,
                                                  const std::string& service, Compute compute,
                                                  Isolation isolation, std::uint32_t work_groups);
  ~NfSession();
  NfSession(const NfSession&) = delete;
  NfSession& operator=(const NfSession&) = delete;

  /// Tells the manager that packets may come, and waits until it agrees.
  /// @param device  of a GPU NF; null: it is none
  Result<void> ready(const DeviceCode* device = nullptr);

  /// Has gpu_host go over to another table, and kernel if one is given, between two rounds. From a
  /// reload only; waits until no packet is left that the old one judged.
  /// @return what to tell the one who asked
  Result<std::string> replace(const DeviceCode& device);

  /// What `hbctl reload` is answered with. Called on a thread of its own, one call at a time; the
  /// handler must live until finish(). Set before ready().
  using ReloadHandler = std::function<Result<std::string>(std::span<const std::string> args)>;
  void on_reload(ReloadHandler handler) { reload_ = std::move(handler); }

  /// Waits for a reload that is under way and refuses others: the NF is about to be torn down.
  void end_reloads();

  /// Ends the listener and tells the manager that all is done.
  void finish();

  /// The manager wants the loop to end, or the manager is gone.
  [[nodiscard]] bool should_stop() const noexcept {
    return stop_.load(std::memory_order_relaxed) ||
           // Acquire: pairs with the manager's release store; all packets have been taken by then.
           instance_->stop.load(std::memory_order_acquire) != 0;
  }
  /// Counts the manager's requests to let go of held packets.
  [[nodiscard]] std::uint32_t flush_count() const noexcept {
    return instance_->flush.load(std::memory_order_acquire);
  }
  [[nodiscard]] bool orphaned() const noexcept { return orphaned_.load(std::memory_order_relaxed); }
  /// Why the manager ended this NF against its will; empty otherwise. After the loop's end.
  [[nodiscard]] const std::string& reason() const noexcept { return reason_; }

  [[nodiscard]] Attachment& attachment() noexcept { return attachment_; }
  [[nodiscard]] const Registration& registration() const noexcept { return registration_; }

 private:
  explicit NfSession(Attachment attachment);
  void listen();
  void stop_listening();
  void on_signal();
  void on_orphaned();
  void start_reload(const nlohmann::json& message);

  Attachment attachment_;
  Registration registration_;
  const InstanceEntry* instance_ = nullptr;
  std::string service_;
  std::string reason_;
  std::atomic<bool> stop_{false};
  std::atomic<bool> orphaned_{false};
  bool asked_to_stop_ = false;
  int signal_fd_ = -1;
  int end_fd_ = -1;  ///< wakes the listener when the session ends
  std::thread listener_;
  ReloadHandler reload_;
  std::mutex reload_mutex_;  ///< guards the next two
  std::thread reloader_;     ///< the reload at work, or the last one
  bool reloads_ended_ = false;
  std::atomic<bool> reloading_{false};
  std::condition_variable replaced_;  ///< under reload_mutex_: there is an answer, or never will be
  std::unique_ptr<nlohmann::json> replace_answer_;
  bool no_answers_ = false;
};

}  // namespace hb
