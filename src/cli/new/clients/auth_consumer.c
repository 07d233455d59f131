/* A display: a client of EVerest's auth_consumer API.
 *
 * It prints each token validation status as it comes, and tells EVerest every two seconds that it is there. Lines on
 * standard input are requests: `withdraw {"evse_id": 1}`, `withdraw {}` for whatever is authorized, `get_status`.
 *
 * Needs libmosquitto: cc -std=c11 -Wall -o client client.c -lmosquitto
 */

#define _POSIX_C_SOURCE 200809L
#include <mosquitto.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    CHECK_EVERY_MS = 2000, /* EVerest gives a client up that says nothing for 5 s, if it is not configured otherwise. */
    REPLY_WITHIN_S = 5,    /* EVerest may never answer. */
    REQUESTS = 16,         /* How many requests may wait for their replies. */
    LINE = 4096,
    TOPIC = 1024,
};

/* A request whose reply is awaited. */
struct request {
    bool is_open;
    int subscribe; /* The number of the SUBSCRIBE that is not acknowledged yet; 0 once it is. */
    time_t until;
    char topic[TOPIC];
    char reply_to[TOPIC]; /* As EVerest is told it: without the external prefix. */
    char payload[LINE + TOPIC];
};

static struct mosquitto *client;
static const char *prefix; /* Stands before every topic, but not in `replyTo`. */
static char base[TOPIC];
static struct request requests[REQUESTS];
static volatile sig_atomic_t is_stopped;
static volatile bool is_connected;

static void publish(const char *topic, const char *payload) {
    char full[2 * TOPIC];
    snprintf(full, sizeof full, "%s%s", prefix, topic);
    mosquitto_publish(client, NULL, full, (int)strlen(payload), payload, 1, false);
}

static void subscribe(const char *topic, int *number) {
    char full[2 * TOPIC];
    snprintf(full, sizeof full, "%s%s", prefix, topic);
    mosquitto_subscribe(client, number, full, 1);
}

static void check(bool is_there) {
    char topic[TOPIC + 32];
    snprintf(topic, sizeof topic, "%s/m2e/communication_check", base);
    if (is_connected) publish(topic, is_there ? "true" : "false");
}

static void forget(struct request *request) {
    char full[2 * TOPIC];
    snprintf(full, sizeof full, "%s%s", prefix, request->reply_to);
    mosquitto_unsubscribe(client, NULL, full);
    request->is_open = false;
}

static void on_connect(struct mosquitto *mosq, void *unused, int reason) {
    (void)mosq, (void)unused;
    if (reason != 0) {
        printf("not connected: %s\n", mosquitto_connack_string(reason));
        return;
    }
    /* Again after each lost connection: this client has no session that the broker would keep. */
    char topic[TOPIC + 32];
    snprintf(topic, sizeof topic, "%s/e2m/heartbeat", base);
    subscribe(topic, NULL);
    snprintf(topic, sizeof topic, "%s/e2m/token_validation_status", base);
    subscribe(topic, NULL);
    is_connected = true;
    check(true);
}

static void on_disconnect(struct mosquitto *mosq, void *unused, int reason) {
    (void)mosq, (void)unused, (void)reason;
    is_connected = false;
    /* Replies to what was asked before the connection was lost cannot reach us. */
    for (int i = 0; i < REQUESTS; i++) requests[i].is_open = false;
}

static void on_subscribe(struct mosquitto *mosq, void *unused, int number, int count, const int *granted) {
    (void)mosq, (void)unused, (void)count, (void)granted;
    for (int i = 0; i < REQUESTS; i++) {
        if (requests[i].is_open && requests[i].subscribe == number) {
            requests[i].subscribe = 0;
            /* Only now: a reply that comes before the subscription is lost. */
            publish(requests[i].topic, requests[i].payload);
        }
    }
}

static void on_message(struct mosquitto *mosq, void *unused, const struct mosquitto_message *message) {
    (void)mosq, (void)unused;
    const char *topic = message->topic;
    if (strncmp(topic, prefix, strlen(prefix)) == 0) topic += strlen(prefix);
    for (int i = 0; i < REQUESTS; i++) {
        if (requests[i].is_open && strcmp(topic, requests[i].reply_to) == 0) {
            printf("reply: %.*s\n", message->payloadlen, (const char *)message->payload);
            forget(&requests[i]);
            return;
        }
    }
    const char *last = strrchr(topic, '/');
    if (last != NULL && strcmp(last, "/token_validation_status") == 0) {
        printf("status: %.*s\n", message->payloadlen, (const char *)message->payload);
    }
}

/* `payload` is JSON, or NULL for a request that has none. */
static void ask(const char *operation, const char *payload) {
    static unsigned long number;
    struct request *request = NULL;
    for (int i = 0; i < REQUESTS && request == NULL; i++) {
        if (!requests[i].is_open) request = &requests[i];
    }
    if (request == NULL || !is_connected) {
        puts(is_connected ? "too many requests wait" : "not connected: nothing was asked");
        return;
    }
    snprintf(request->topic, sizeof request->topic, "%.900s/m2e/%s", base, operation);
    /* A topic of its own for each request: that is how the reply is told from others, also from those of another run. */
    snprintf(request->reply_to, sizeof request->reply_to, "%.900s/e2m/reply/%ld-%ld-%lu", base, (long)time(NULL), (long)getpid(),
             ++number);
    if (payload != NULL) {
        snprintf(request->payload, sizeof request->payload, "{\"headers\":{\"replyTo\":\"%s\"},\"payload\":%s}",
                 request->reply_to, payload);
    } else {
        snprintf(request->payload, sizeof request->payload, "{\"headers\":{\"replyTo\":\"%s\"}}", request->reply_to);
    }
    request->until = time(NULL) + REPLY_WITHIN_S;
    request->is_open = true;
    subscribe(request->reply_to, &request->subscribe);
}

static void obey(char *line) {
    line[strcspn(line, "\r\n")] = '\0';
    if (strncmp(line, "withdraw", 8) == 0 && (line[8] == ' ' || line[8] == '\0')) {
        ask("withdraw_authorization", line[8] == ' ' ? line + 9 : "{}");
    } else if (strcmp(line, "get_status") == 0) {
        ask("token_validation_status/get", NULL);
    } else if (*line != '\0') {
        printf("unknown command: %s\n", line);
    }
}

static void stop(int signal) {
    (void)signal;
    is_stopped = 1;
}

static const char *setting(const char *name, const char *otherwise) {
    const char *value = getenv(name);
    return value != NULL ? value : otherwise;
}

static long long now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

int main(void) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    signal(SIGPIPE, SIG_IGN);
    sigaction(SIGTERM, &(struct sigaction){.sa_handler = stop}, NULL);
    sigaction(SIGINT, &(struct sigaction){.sa_handler = stop}, NULL);
    prefix = setting("EV_MQTT_EXTERNAL_PREFIX", "");
    snprintf(base, sizeof base, "everest_api/%.100s/auth_consumer/%.500s", setting("KHUMBU_API_VERSION", "1"),
             setting("KHUMBU_MODULE_ID", "auth_api"));

    mosquitto_lib_init();
    client = mosquitto_new(NULL, true, NULL);
    if (client == NULL) return EXIT_FAILURE;
    mosquitto_connect_callback_set(client, on_connect);
    mosquitto_disconnect_callback_set(client, on_disconnect);
    mosquitto_subscribe_callback_set(client, on_subscribe);
    mosquitto_message_callback_set(client, on_message);
    mosquitto_reconnect_delay_set(client, 1, 5, true);
    const char *host = setting("MQTT_SERVER_ADDRESS", "localhost");
    int result = mosquitto_connect(client, host, atoi(setting("MQTT_SERVER_PORT", "1883")), 20);

    char line[LINE];
    size_t length = 0;
    bool is_listening = true;
    long long next_check = now_ms() + CHECK_EVERY_MS, next_try = now_ms() + 1000;
    while (!is_stopped) {
        if (result != MOSQ_ERR_SUCCESS && now_ms() >= next_try) {
            result = mosquitto_reconnect(client);
            next_try = now_ms() + 1000;
        }
        struct pollfd waits[2] = {
            {.fd = is_listening ? STDIN_FILENO : -1, .events = POLLIN},
            {.fd = mosquitto_socket(client), .events = POLLIN | (mosquitto_want_write(client) ? POLLOUT : 0)},
        };
        poll(waits, 2, 100);
        if (result == MOSQ_ERR_SUCCESS) result = mosquitto_loop(client, 0, 1);
        if (result != MOSQ_ERR_SUCCESS && is_connected) on_disconnect(client, NULL, result);
        if (waits[0].revents != 0) {
            char chunk[256];
            ssize_t count = read(STDIN_FILENO, chunk, sizeof chunk);
            is_listening = count > 0;
            for (ssize_t i = 0; i < count; i++) {
                if (chunk[i] == '\n' || length + 1 == sizeof line) {
                    line[length] = '\0';
                    length = 0;
                    obey(line);
                } else {
                    line[length++] = chunk[i];
                }
            }
        }
        if (now_ms() >= next_check) {
            check(true);
            next_check = now_ms() + CHECK_EVERY_MS;
        }
        for (int i = 0; i < REQUESTS; i++) {
            if (requests[i].is_open && requests[i].until < time(NULL)) {
                puts("no reply");
                forget(&requests[i]);
            }
        }
    }
    /* Not heard of for a while is an alarm; gone on purpose is none. */
    check(false);
    mosquitto_loop(client, 100, 1);
    mosquitto_disconnect(client);
    mosquitto_destroy(client);
    mosquitto_lib_cleanup();
    return EXIT_SUCCESS;
}
