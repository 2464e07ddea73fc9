"""What is known of a user beside the account."""

from django.contrib.auth.models import User
from django.db import models


class Profile(models.Model):
    user = models.OneToOneField(User, on_delete=models.CASCADE, primary_key=True)
    bio = models.TextField(blank=True)
    phone_number = models.TextField(blank=True)
    ssn = models.TextField(blank=True)
