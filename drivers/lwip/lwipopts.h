/*
 * How lwIP is built for Gnomon: one context without an operating system, raw API, IPv4 with DHCP, IPv6 with
 * SLAAC, TCP and UDP. Every pool has a fixed size: what the network can cost is known at link time.
 */
#ifndef DRIVERS_LWIP_LWIPOPTS_H
#define DRIVERS_LWIP_LWIPOPTS_H

#define NO_SYS 1
#define LWIP_NETCONN 0
#define LWIP_SOCKET 0
#define SYS_LIGHTWEIGHT_PROT 0
#define LWIP_SINGLE_NETIF 1
#define LWIP_NETIF_HOSTNAME 1
#define LWIP_NETIF_TX_SINGLE_PBUF 0
#define LWIP_HOOK_FILENAME "drivers/lwip/port.h"
#define LWIP_HOOK_TCP_ISN lwip_port_isn

/* ---- Memory: pools of a fixed number, and one heap for what is sent and for state of odd sizes ---- */
#define MEM_ALIGNMENT 8
#define MEM_SIZE (64 * 1024)
#ifdef GNOMON_HOST_TEST             /* ASan does not see into pools */
#define MEM_OVERFLOW_CHECK 1
#define MEMP_OVERFLOW_CHECK 1
#endif
#define MEMP_NUM_PBUF 320          /* references to what connections send from their own buffers */
#define PBUF_POOL_SIZE 64          /* frames that have come and are not dealt with yet */
#define PBUF_POOL_BUFSIZE 1536     /* each fits one whole */
#define MEMP_NUM_TCP_PCB 48        /* connections, half-open and closing ones too; streams: STREAM_MAX */
#define MEMP_NUM_TCP_PCB_LISTEN 24
#define MEMP_NUM_TCP_SEG 320
#define MEMP_NUM_UDP_PCB 4         /* DHCP's and hv/net/datagram.c's */
#define MEMP_NUM_REASSDATA 4
#define IP_REASS_MAX_PBUFS 12
#define MEMP_NUM_FRAG_PBUF 16
#define MEMP_NUM_ARP_QUEUE 16
#define MEMP_NUM_ND6_QUEUE 16
#define MEMP_NUM_MLD6_GROUP 8

/* ---- Ethernet, IPv4 ---- */
#define LWIP_ARP 1
#define ARP_TABLE_SIZE 16
#define ARP_QUEUEING 1
#define ETHARP_SUPPORT_STATIC_ENTRIES 0
#define LWIP_ICMP 1
#define LWIP_BROADCAST_PING 0
#define LWIP_MULTICAST_PING 0
#define LWIP_RAW 0
#define LWIP_DHCP 1
#define DHCP_DOES_ARP_CHECK 1
#define LWIP_DNS 0
#define LWIP_AUTOIP 0
#define LWIP_IGMP 0
#define IP_FORWARD 0
#define IP_OPTIONS_ALLOWED 1

/* ---- IPv6 ---- */
#define LWIP_IPV6 1
#define LWIP_IPV6_AUTOCONFIG 1
#define LWIP_IPV6_SCOPES 0          /* one network: a zone says nothing */
#define LWIP_IPV6_MLD 1
#define LWIP_IPV6_DHCP6 0
#define IPV6_FRAG_COPYHEADER 1      /* pointers of 64 bits do not fit into the header of a fragment */
#define LWIP_ICMP6 1
#define LWIP_IPV6_FORWARD 0
#define LWIP_ND6_NUM_NEIGHBORS 16
#define LWIP_ND6_NUM_DESTINATIONS 16
#define LWIP_ND6_NUM_PREFIXES 4
#define LWIP_ND6_NUM_ROUTERS 3

/* ---- TCP ---- */
#define TCP_MSS 1460
#define TCP_WND (4 * TCP_MSS)       /* a stream's buffer for what comes is larger: it never overflows */
#define TCP_SND_BUF 16384           /* a stream's buffer for what goes, which lwIP sends from in place */
#define TCP_SND_QUEUELEN 32         /* buffers on their way in one connection */
#define TCP_QUEUE_OOSEQ 1
#define TCP_OOSEQ_MAX_PBUFS 4       /* what one peer may have us keep out of order */
#define TCP_LISTEN_BACKLOG 1
#define SO_REUSE 1                  /* a port can be opened again while an old connection to it times out */
#define TCP_OVERSIZE 0              /* nothing is copied, so nothing grows */
#define LWIP_TCP_KEEPALIVE 1
#define LWIP_TCP_TIMESTAMPS 0
#define LWIP_TCP_MAX_SACK_NUM 4

/* ---- Interfaces ---- */
#define LWIP_NETIF_LINK_CALLBACK 0
#define LWIP_NETIF_STATUS_CALLBACK 0
#define LWIP_NETIF_LOOPBACK 0
#define LWIP_HAVE_LOOPIF 0

/* ---- Counters; messages of lwIP's own are compiled out, its assertions are not (port.h) ---- */
#define LWIP_STATS 1
#define LWIP_STATS_LARGE 1
#define LWIP_STATS_DISPLAY 0
#define MEM_STATS 1
#define MEMP_STATS 1
#define SYS_STATS 0

#endif
