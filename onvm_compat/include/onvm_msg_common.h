/* Messages that an NF finds in its message queue (onvm_nf.msg_q). */
#ifndef ONVM_MSG_COMMON_H
#define ONVM_MSG_COMMON_H

#include <stdint.h>

#define MSG_NOOP 0
#define MSG_STOP 1 /* end your loop */
#define MSG_NF_STARTING 2
#define MSG_NF_STOPPING 3
#define MSG_NF_READY 4
#define MSG_SCALE 5   /* msg_data: struct onvm_nf_scale_info */
#define MSG_FROM_NF 6 /* msg_data: what the sender has rte_malloc'ed; the receiver frees it */
#define MSG_REQUEST_LPM_REGION 7
#define MSG_CHANGE_CORE 8 /* msg_data: an rte_malloc'ed uint16_t */
#define MSG_REQUEST_FT 9

/** One message; an object of the pool NF_MSG_MEMPOOL, to which whoever takes it returns it. */
struct onvm_nf_msg {
  uint8_t msg_type; /**< MSG_... */
  void *msg_data;   /**< depends on the type */
};

#endif /* ONVM_MSG_COMMON_H */
