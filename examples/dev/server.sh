echo "serving /srv/www"
exec httpd -f -p 80 -h /srv/www
