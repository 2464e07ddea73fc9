"""`python -m service.serve PORT`: makes the tables and an administrator, and serves."""

import os
import sys

import django
from django.core.management import call_command

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "service.settings")
django.setup()
call_command("migrate", verbosity=0, run_syncdb=True)
call_command("createsuperuser", interactive=False, verbosity=0)
call_command("runserver", f"127.0.0.1:{sys.argv[1]}", use_reloader=False)
