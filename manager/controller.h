// The control thread: registers NFs, changes routes, recovers the dead, answers hbctl, ends it all.
#pragma once

#include <array>
#include <chrono>
#include <deque>
#include <functional>
#include <future>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "manager/audit.h"
#include "manager/console.h"
#include "manager/control_server.h"
#include "manager/gpu_supervisor.h"
#include "manager/platform.h"
#include "manager/recovery.h"
#include "manager/relay.h"
#include "manager/resources.h"
#include "manager/route_switch.h"
#include "manager/route_tables.h"
#include "manager/supervisor_link.h"

namespace hb {

class Controller {
 public:
  explicit Controller(Platform& platform);
  ~Controller();
  Controller(const Controller&) = delete;
  Controller& operator=(const Controller&) = delete;

  /// Opens the control socket, starts gpu_host, publishes the first routes.
  Result<void> start();

  /// Until a signal, the end of the input, or a fatal error; then ends NFs and gpu_host in order
  /// and leaves all rings empty. RX and TX threads are the caller's to end.
  /// @return the exit status
  int run();

  /// One turn of the control thread: waits for something to happen, at most that long, handles it,
  /// and takes changes one step further. run() is turns until the end.
  void turn(std::chrono::microseconds timeout);

 private:
  using Clock = std::chrono::steady_clock;

  // Events (controller.cc). Handlers change what should be; run() brings it about.
  void poll_once(std::chrono::microseconds timeout);
  bool settle(std::chrono::milliseconds limit, const std::function<bool()>& done);
  void on_signal();
  void on_message(int connection, const nlohmann::json& message, std::vector<int>& fds);
  void on_close(int connection);

  // Deaths (deaths.cc).
  /// What tells a hung process from one that works or has nothing to do.
  struct Load {
    std::uint64_t progress = 0;
    bool waits = false;
  };
  void on_nf_death(Instance& instance);
  void on_death_while_starting(Instance& instance);
  void give_up(Instance& instance, InstanceState state);
  [[nodiscard]] bool is_restarted(const Instance& instance) const;
  void on_child_ended(const SupervisorLink& supervisor, const nlohmann::json& message);
  void on_process_end(Instance& instance, const nlohmann::json& message, const std::string& how);
  void check_waits();
  void check_hangs();
  void check_gpu_host_hangs();
  static bool owes_an_answer(const Instance& instance);
  [[nodiscard]] Load load_of(const Instance& instance) const;
  void on_gpu_host_death();
  void lose_slice(Instance& instance, bool comes_back);
  void restart_gpu_host();
  void add_slices_again();

  // Supervisors (supervision.cc).
  void on_supervise(int connection, const nlohmann::json& message);
  SupervisorLink* supervisor_by_connection(int connection);
  SupervisorLink* supervisor_by_pid(int pid);
  [[nodiscard]] const SupervisorLink* supervisor_of(const Instance& instance) const;
  void tell_supervisor(const Instance& instance, const char* op);
  void on_supervisor_gone(const SupervisorLink& supervisor);
  nlohmann::json on_scale(const nlohmann::json& message);
  void on_restart(int connection, const nlohmann::json& message);
  void advance_rolling();
  void begin_replacement(Instance& old);
  void end_rolling(int old_pid, const std::string& why);

  // Registration (registration.cc).
  void on_register(int connection, nlohmann::json message, std::vector<int>& fds);
  nlohmann::json register_nf(int connection, const nlohmann::json& message, int pidfd);
  Result<void> give_cpu_place(Instance& instance);
  /// OpenNetVM's service ids lead to the service that took the number last.
  void claim_number(std::uint32_t service, std::uint32_t number);
  [[nodiscard]] std::uint32_t free_number() const;
  void on_nf_ready(Instance& instance, const nlohmann::json& message);
  void offer(Instance& instance);

  // Registration of GPU NFs (gpu_registration.cc).
  [[nodiscard]] bool waits_for_gpu(const nlohmann::json& message);
  [[nodiscard]] bool waits_for_room(const nlohmann::json& message);
  [[nodiscard]] std::uint32_t work_groups_wanted(std::uint32_t asked) const;
  void retry_waiting_registrations();
  Result<void> give_gpu_place(Instance& instance, std::uint32_t work_groups);
  void add_slice(Instance& instance);
  void on_slice_added(const nlohmann::json& message);

  // Slices of the GPU under traffic (gpu_slices.cc).
  void on_gpu_message(const std::string& op, const nlohmann::json& message);
  void on_resize_request(int connection, const nlohmann::json& message);
  void on_replace_table(Instance& instance, const nlohmann::json& message);
  void on_slice_resized(Instance& instance, const nlohmann::json& message);
  void on_table_replaced(Instance& instance, const nlohmann::json& message);
  void on_wish(const nlohmann::json& message);
  Result<void> resize(Instance& instance, std::uint32_t n, int asker);
  Instance* find_slice(std::uint32_t slice);

  // Services and their instances (services.cc).
  Service* find_service(const std::string& name);
  Service& service_record(const std::string& name);
  /// @param name  a service's, for all of its instances that live, or one instance's, like router/1
  std::vector<Instance*> find_instances(const std::string& name);
  Result<Instance*> place_in_service(const nlohmann::json& message);
  Instance* dead_one_for(const Service& service, const nlohmann::json& message) const;
  Result<void> check_may_join(const Service& service, const nlohmann::json& message) const;
  void declare(Service& service, const nlohmann::json& message);

  // Routes and flows (live_changes.cc).
  /// New flow rules on their way into the classifier that is not in use. Large ones take seconds:
  /// that happens on a thread of its own, while the control thread looks after everything else.
  struct FlowReload {
    int connection;  ///< who asked, -1: gone
    std::optional<FlowConfig> config;
    TypeNames types;
    std::future<Result<void>> done;  ///< last: waits for the thread before the rest goes
  };
  /// A change that somebody has asked for and that is to be answered.
  struct Change {
    int connection;
    std::string request;
  };
  void pause_rx();
  void resume_rx();
  /// Begins the next change, if there is one and none is under way.
  void start_next_change();
  void advance_change();
  [[nodiscard]] bool is_in_current_table(const Instance& instance) const;
  Result<void> apply(const nlohmann::json& request);
  Result<void> apply_routes(RouteConfig config);
  /// Takes the next request in hand. @return true if it is in force, but for the change of routes
  bool take_request(const Change& change);
  Result<void> begin_flows(const std::string& path, int connection);
  Result<void> finish_flows(FlowReload& reload);
  void fill_route_inputs(RouteInputs& inputs) const;
  [[nodiscard]] std::vector<SteeringNf> steering() const;
  [[nodiscard]] nlohmann::json routes_json() const;

  // Ends (lifecycle.cc).
  void leave(Instance& instance);
  void advance_leaving();
  bool advance_one(Instance& instance);
  void release(Instance& instance);
  void close_context(ContextId context);
  void advance_closing();
  void fold_counts(Instance& instance);
  void shutdown();
  bool settle_end(const Instance& instance, const std::function<bool()>& ended);
  void stop_all_nfs();
  void stop_gpu_host();
  void set_state(Instance& instance, InstanceState state);
  void serve_orphans();
  void update_held();
  [[nodiscard]] bool all_required_running() const;
  [[nodiscard]] bool input_is_drained() const;
  [[nodiscard]] std::uint64_t originated_in_flight() const;

  void on_reload_request(int connection, const nlohmann::json& message);

  /// Audits, and answers all who have asked until then.
  void audit();
  nlohmann::json quiesced_audit();
  /// Says once for each port that its file is damaged.
  void report_unreadable();

  Platform& p_;
  Resources resources_;
  Recovery recovery_;
  RouteSwitch switch_;
  GpuSupervisor gpu_;
  ControlServer server_;
  Console console_;
  Relay relay_;
  int signal_fd_ = -1;
  int signals_ = 0;
  bool routes_dirty_ = false;  ///< NFs have come or gone: the routes are to be changed
  bool rx_started_ = false;
  bool ending_ = false;
  bool fatal_ = false;
  std::vector<SupervisorLink> supervisors_;
  std::optional<Rolling> rolling_;
  Clock::time_point next_look_{};
  StallClock gpu_stall_;
  std::optional<Clock::time_point> gpu_restart_at_;
  std::uint64_t next_start_order_ = 1;
  Clock::time_point next_sample_{};
  std::array<bool, kMaxPorts> reported_unreadable_{};

  std::deque<Change> changes_;
  std::unique_ptr<FlowReload> flow_reload_;
  int answer_to_ = -1;  ///< who asked for the change that is under way
  bool audits_ = false;
  std::vector<int> audit_askers_;

  struct Waiting {
    int connection;
    std::string message;
    int pidfd;
  };
  /// NFs that came before others had given back what they need, or before gpu_host was ready.
  std::vector<Waiting> waiting_;
  bool room_ = false;  ///< some has been given back
  /// Contexts given back whose fill rings no TX thread has emptied yet: nobody's until then.
  std::vector<ContextId> closing_;
};

}  // namespace hb
