# nginx with nchan, two workers: PORT of the clients, PORT of the pushes, FOLDER. A client
# subscribes to a channel of its id and to one of all; what nobody is there for is not kept.
cat >"$3/nginx.conf" <<END
load_module /usr/lib/nginx/modules/ngx_nchan_module.so;
daemon off;
user root;
pid nginx.pid;
error_log stderr crit;
worker_processes 2;
worker_rlimit_nofile 65536;
events { worker_connections 30000; }
http {
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    keepalive_requests 1000000000;
    keepalive_timeout 1h;
    tcp_nodelay on;
    nchan_shared_memory_size 512M;
    nchan_message_buffer_length 0;
    server {
        listen 127.0.0.1:$1 backlog=4096;
        location = /events {
            nchan_subscriber eventsource;
            nchan_channel_id \$arg_id all;
            nchan_subscriber_first_message newest;
        }
    }
    server {
        listen 127.0.0.1:$2;
        location ~ ^/v1/clients/(.+)\$ {
            nchan_publisher;
            nchan_channel_id \$1;
        }
        location = /v1/broadcast {
            nchan_publisher;
            nchan_channel_id all;
        }
    }
}
END
exec nginx -p "$3" -c "$3/nginx.conf" -e stderr
