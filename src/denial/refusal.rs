//! A client's mistakes at the endpoints that the filter serves itself.

/// Why the endpoint of the blocks does not do what it was asked to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdminRefusal {
    /// 404: there is no such resource.
    NotFound,
    /// 404: the address is not blocked.
    NotBlocked,
    /// 405, with what is allowed.
    MethodNotAllowed(&'static str),
    /// 400: no address.
    NoAddress,
    /// 400: the query asks for no page.
    NoPage,
}

impl AdminRefusal {
    pub(super) const fn status(self) -> u16 {
        match self {
            Self::NotFound | Self::NotBlocked => 404,
            Self::MethodNotAllowed(_) => 405,
            Self::NoAddress | Self::NoPage => 400,
        }
    }

    pub(super) const fn detail(self) -> &'static str {
        match self {
            Self::NotFound => "There is no such resource",
            Self::NotBlocked => "The address is not blocked",
            Self::MethodNotAllowed(_) => "The method is not allowed here",
            Self::NoAddress => "Expected an IPv4 or IPv6 address",
            Self::NoPage => "Expected from=NUMBER and limit=NUMBER, at most 1000",
        }
    }
}

/// Why an endpoint of tokens does not do what it was asked to: a client's mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenRefusal {
    /// 400: no username and password.
    CredentialsRequired,
    /// 400: no refresh token.
    RefreshTokenRequired,
    /// 400: no token that says which login ends.
    TokenRequired,
    /// 405: it takes POST.
    MethodNotAllowed,
}

impl TokenRefusal {
    pub(super) const fn status(self) -> u16 {
        match self {
            Self::CredentialsRequired | Self::RefreshTokenRequired | Self::TokenRequired => 400,
            Self::MethodNotAllowed => 405,
        }
    }

    pub(super) const fn detail(self) -> &'static str {
        match self {
            Self::CredentialsRequired => "Username and password required",
            Self::RefreshTokenRequired => "Refresh token required",
            Self::TokenRequired => "Token required",
            Self::MethodNotAllowed => "The method is not allowed here",
        }
    }
}
